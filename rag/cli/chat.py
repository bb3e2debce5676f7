"""`rag chat`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rag.cli.options import AsOption, PipelineOption, SetOption, SourceOption, colours, note, open_pipeline, principals

if TYPE_CHECKING:
    from rag.pipeline.pipeline import Pipeline

KEPT_TURNS = 8


def chat(
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    as_: AsOption = None,
) -> None:
    """Ask several questions in a row; with a language model, a follow-up is understood from the turns before it.

    An empty line, `/quit` or Ctrl-D ends it; `/clear` forgets the turns.
    """
    from rag.cli import render
    from rag.cli.ask import prepare

    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None)
        opened.warm_up()
        turns: list[tuple[str, str]] = []
        while (question := _read()) not in (None, "", "/quit"):
            if question == "/clear":
                turns.clear()
                continue
            asked = _condensed(opened, question, turns)
            if asked != question:
                note(f"asking: {asked}")
            answer = opened.ask(asked, principals=principals(as_), history=turns)
            typer.echo(render.answer(answer, locate=opened.locate) + "\n")
            turns = [*turns, (question, answer.text)][-KEPT_TURNS:]


def _read() -> str | None:
    import sys

    try:
        return input("> " if sys.stdin.isatty() and colours() else "").strip()
    except EOFError:
        return None


def _condensed(pipeline: Pipeline, question: str, turns: list[tuple[str, str]]) -> str:
    """The question made to stand alone, where the pipeline has a language model to do it and no stage that does."""
    model = pipeline.language_model
    if model is None or not turns or any(spec.use == "condense" for spec in pipeline.spec.ask.transform):
        return question
    from rag.query.condense import condense

    return condense(question, turns, model, prompt=pipeline.prompt("condense"))
