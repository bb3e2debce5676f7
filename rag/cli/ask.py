"""`rag ask`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    note_unknown_fields,
    open_pipeline,
    principals,
)
from rag.cli.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.events import Event
    from rag.models.llm import Json
    from rag.pipeline.pipeline import Pipeline
    from rag.types import Answer

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
    schema: Annotated[
        Path | None, typer.Option("--schema", metavar="FILE", help="Answer with JSON that fits this JSON Schema.")
    ] = None,
    json: JsonOption = False,
    json_events: Annotated[
        bool, typer.Option("--json-events", help="Print one JSON line for each event while it runs, the answer last.")
    ] = False,
) -> None:
    """Answer a question from the indexed documents, with numbered sources and the quoted text."""
    from rag.cli import render

    if not question.strip():
        raise typer.BadParameter("the question is empty")
    if schema is not None and (stream or json_events):
        raise typer.BadParameter("an answer in a schema comes whole: leave --stream and --json-events out")
    asked = condition(filter_)
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None, options=options_given(pipeline, set_, source))
        if json_events or (stream and not json):
            events = opened.stream([question], filter=asked, principals=principals(as_))
            answer = _as_lines(events, opened, explain=explain) if json_events else streamed(events)
        else:
            wanted = None if schema is None else _schema(schema)
            answer = opened.ask(question, filter=asked, principals=principals(as_), schema=wanted)
        if json_events:
            pass  # the last line was the answer
        elif json:
            typer.echo(render.to_json(render.answer_record(answer, opened.locate, explain=explain)))
        else:
            typer.echo(render.answer(answer, locate=opened.locate, with_text=not stream))
            if explain:
                typer.echo("\n" + render.trace(answer.trace))
        if answer.abstained:
            note_unknown_fields(asked, opened.index.reader())
    if answer.abstained:
        raise typer.Exit(ABSTAINED)


def prepare(pipeline: Pipeline, *, update: bool, options: str) -> None:
    """With `update`, bring the index up to date, quietly where nothing changed; without, it has to be there.

    What vanished goes too: the index of a ``--source`` mirrors that folder. `options` are those that were given, for
    the command that is named.
    """
    if not update:
        return
    from rag.cli.ingest import name_failures, name_skipped, run, summary

    new = not pipeline.index.exists()
    report = run(pipeline, prune=True)
    if new or report.added or report.updated or report.removed:
        name_failures(report)
        name_skipped(report)
        note(f"indexed: {summary(report)}")
    elif report.failed:  # they were named when the rest was indexed
        note(f"{len(report.failed)} of the sources could not be read; `rag ingest {options}` names them")


def _schema(path: Path) -> dict[str, Json]:
    """The JSON Schema in a file.

    Raises:
        ConfigError: it cannot be read, or is no JSON object.
    """
    from json import loads

    from rag.errors import ConfigError

    try:
        found = loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--schema {path}: it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"--schema {path}: it is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"--schema {path}: expected a JSON object, found {type(found).__name__}")
    return found


def streamed(events: Iterator[Event]) -> Answer:
    """Print the answer while it is written, as far as it stays; give it whole.

    White space waits for what comes behind it: a model may end on empty lines.
    """
    from rag.events import Answered, Retracted, Wrote

    text, printed = "", 0
    answer = None
    try:
        for event in events:
            stays = False
            if isinstance(event, Wrote):
                text += event.text
                stays = not event.provisional
            elif isinstance(event, Retracted):
                text = text[: event.keep]
            elif isinstance(event, Answered):
                answer, stays = event.answer, True
            end = len(text.rstrip())
            if stays and printed < end:
                typer.echo(plain(text[printed:end]), nl=False)
                printed = end
    finally:
        if printed or answer is not None:  # what goes wrong in mid-sentence is told on a line of its own
            typer.echo()
    assert answer is not None  # a stream ends with an answer for each question
    return answer


def _as_lines(events: Iterator[Event], pipeline: Pipeline, *, explain: bool) -> Answer:
    """Print a JSON line for each event; give the answer."""
    from rag.cli.event_lines import event_line
    from rag.events import Answered

    answer = None
    for event in events:
        typer.echo(event_line(event, pipeline.locate, explain=explain))
        if isinstance(event, Answered):
            answer = event.answer
    assert answer is not None  # a stream ends with an answer for each question
    return answer
