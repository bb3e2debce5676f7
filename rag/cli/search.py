"""`rag search`"""

from __future__ import annotations

from typing import Annotated

import typer

from rag.cli.hints import options_given
from rag.cli.options import (
    AsOption,
    FilterOption,
    JsonOption,
    PipelineOption,
    SetOption,
    SourceOption,
    condition,
    note_unknown_fields,
    open_pipeline,
    principals,
)


def search(
    question: Annotated[str, typer.Argument(help="What to look for.")],
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    filter_: FilterOption = None,
    as_: AsOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many chunks to show.")] = 10,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each stage did.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the best chunks, with the score and the rank each retriever gave them."""
    from rag.cli import render
    from rag.cli.ask import prepare

    if not question.strip():
        raise typer.BadParameter("the question is empty")
    asked = condition(filter_)
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None, options=options_given(pipeline, set_, source))
        result = opened.search(question, filter=asked, principals=principals(as_))
        if not result.ranking.hits:
            note_unknown_fields(asked, opened.index.reader())
        found = render.search_records(result, opened.index.reader(), k)
        if json:
            record: dict[str, object] = {"version": render.VERSION, "query": question, "hits": found}
            if explain:
                record["trace"] = render.trace_record(result.trace)
            typer.echo(render.to_json(record))
            return
        typer.echo(render.search(found))
        if explain:
            typer.echo("\n" + render.trace(result.trace))
