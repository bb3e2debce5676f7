"""`rag explain`"""

from __future__ import annotations

from pathlib import Path
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
    note,
    open_pipeline,
    principals,
)

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE.html", help="Also write a page that opens offline in a browser.")
]


def explain(
    question: Annotated[str, typer.Argument(help="The question.")],
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    filter_: FilterOption = None,
    as_: AsOption = None,
    answer: Annotated[bool, typer.Option("--answer", help="Also write the answer, and what it would be.")] = False,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Show which stage decided what the answer rests on: the pipeline is run whole, then without each stage."""
    from rag.cli import explained, render
    from rag.cli.ask import prepare
    from rag.evaluate import explain as run

    if not question.strip():
        raise typer.BadParameter("the question is empty")
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None, options=options_given(pipeline, set_, source))
        found = run(opened, question, filter=condition(filter_), principals=principals(as_), answers=answer)
    if out is not None:
        from rag.evaluate.html import explanation_page

        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(explanation_page(found), encoding="utf-8")
        note(f"wrote {out}")
    typer.echo(render.to_json(explained.record(found)) if json else explained.text(found))
