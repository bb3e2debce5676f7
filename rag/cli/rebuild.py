"""`rag rebuild`"""

from __future__ import annotations

from typing import Annotated

import typer

from rag.cli.options import IndexOfOption, JsonOption, PipelineOption, SetOption, open_pipeline


def rebuild(
    source: IndexOfOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    embed_only: Annotated[
        bool, typer.Option("--embed-only", help="Compute every vector again with the pipeline's model; read no source.")
    ] = False,
    derived_only: Annotated[
        bool,
        typer.Option(
            "--derived-only", help="Only what derives from texts and vectors: postings, HNSW, token vectors, Chroma."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make the index again: from the sources, or with an option from what the index itself holds.

    The old generation stays readable until the new one is committed.
    """
    from rag.cli.ingest import FAILED, name_failures, run, summary
    from rag.cli.render import to_json

    if embed_only and derived_only:
        raise typer.BadParameter("--embed-only and --derived-only exclude each other")
    with open_pipeline(pipeline, set_, source) as opened:
        if derived_only:
            generation = opened.rebuild_derived()
            typer.echo(to_json({"generation": generation}) if json else "derived indexes rebuilt")
        elif embed_only:
            report = opened.reembed()
            typer.echo(to_json(report) if json else summary(report))
        else:
            report = run(opened, force=True, quiet=json)
            name_failures(report)
            typer.echo(to_json(report) if json else summary(report))
            if report.failed:
                raise typer.Exit(FAILED)
