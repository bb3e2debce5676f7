"""`rag rebuild`"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import IndexOfOption, JsonOption, PipelineOption, SetOption, open_pipeline

if TYPE_CHECKING:
    from rag.errors import RagError
    from rag.pipeline.pipeline import Pipeline


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
    from rag.errors import IndexMismatchError, ModelError

    if embed_only and derived_only:
        raise typer.BadParameter("--embed-only and --derived-only exclude each other")
    with open_pipeline(pipeline, set_, source) as opened:
        if derived_only:
            generation = opened.rebuild_derived()
            typer.echo(to_json({"generation": generation}) if json else "derived indexes rebuilt")
        elif embed_only:
            with _elsewhere(opened, ModelError):
                report = opened.reembed()
            typer.echo(to_json(report) if json else summary(report))
        else:
            with _elsewhere(opened, IndexMismatchError):
                report = run(opened, force=True, quiet=json)
            name_failures(report)
            typer.echo(to_json(report) if json else summary(report))
            if report.failed:
                raise typer.Exit(FAILED)


@contextmanager
def _elsewhere(pipeline: Pipeline, refused: type[RagError]) -> Iterator[None]:
    """Say of an index that cannot be made again for this pipeline how to make another one."""
    try:
        yield
    except refused as error:
        if type(error) is refused:  # a model that is missing altogether has a hint of its own
            folder = shlex.quote(f"ingest.index.path={pipeline.spec.ingest.index.path}-new")
            error.hint += f"; to cut and embed anew, into another folder: `rag ingest --set {folder}`"
        raise
