"""`rag ask`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from rag.pipeline.pipeline import Pipeline
    from rag.types import Answer, Condition

ABSTAINED = 3


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    filter_: FilterOption = None,
    as_: AsOption = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer while it is written.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each stage did: candidates, rank moves, time, tokens.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Answer a question from the indexed documents, with numbered sources and the quoted text."""
    from rag.cli import render

    if not question.strip():
        raise typer.BadParameter("the question is empty")
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None)
        if stream and not json:
            answer = _streamed(opened, question, condition(filter_), principals(as_))
        else:
            answer = opened.ask(question, filter=condition(filter_), principals=principals(as_))
        if json:
            typer.echo(render.to_json(render.answer_record(answer, opened.locate, explain=explain)))
        else:
            typer.echo(render.answer(answer, locate=opened.locate, with_text=not stream))
            if explain:
                typer.echo("\n" + render.trace(answer.trace))
    if answer.abstained:
        raise typer.Exit(ABSTAINED)


def prepare(pipeline: Pipeline, *, update: bool) -> None:
    """With `update`, bring the index up to date, quietly where nothing changed; without, it has to be there.

    What vanished goes too: the index of a ``--source`` mirrors that folder.
    """
    if not update:
        return
    from rag.cli.ingest import name_failures, run, summary

    new = not pipeline.index.exists()
    report = run(pipeline, prune=True)
    if new or report.added or report.updated or report.removed:
        name_failures(report)
        note(f"indexed: {summary(report)}")
    elif report.failed:  # they were named when the rest was indexed
        note(f"{len(report.failed)} of the sources could not be read; `rag ingest` with the same options names them")


def _streamed(pipeline: Pipeline, question: str, filter: Condition | None, asking: frozenset[str] | None) -> Answer:
    from rag.events import Answered, Decided, Retracted, Wrote

    answer = None
    text, printed = "", 0

    def show(end: int) -> None:
        nonlocal printed
        typer.echo(text[printed:end], nl=False)
        printed = max(printed, end)

    for event in pipeline.stream([question], filter=filter, principals=asking):
        if isinstance(event, Wrote):
            text += event.text
            if not event.provisional:
                show(len(text))
        elif isinstance(event, Decided):  # by sentences where they may be taken back: what is printed stays
            show(event.settled)
        elif isinstance(event, Retracted):
            text = text[: event.keep]
        elif isinstance(event, Answered):
            answer = event.answer
    show(len(text))
    typer.echo()
    assert answer is not None  # a stream ends with an answer for each question
    return answer
