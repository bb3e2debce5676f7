"""The pipeline for ``async`` code: the same generator, driven from one thread of its own.

Each event is pulled when it is asked for, which gives back-pressure for nothing. One thread a question, so that as many
are answered at the same time as there are callers. A cancelled caller's close waits behind the step that runs; models
hear of it at once (`rag.models.caller`): replies end, nothing is asked again. Then the generator's ``finally`` runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rag.events import Answered
from rag.models.caller import CALLER, Caller

if TYPE_CHECKING:
    from pydantic import BaseModel

    from rag.events import Event
    from rag.models.llm import Json
    from rag.pipeline.pipeline import Pipeline, SearchResult, Turn
    from rag.pipeline.report import IngestProgress, IngestReport
    from rag.types import Answer, Condition

Result = TypeVar("Result")


class AsyncPipeline:
    """`Pipeline.aio`: the methods of a pipeline as coroutines, with the same arguments."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    async def ask(
        self,
        question: str,
        *,
        filter: Condition | None = None,
        principals: frozenset[str] | None = None,
        history: Sequence[Turn] = (),
        schema: type[BaseModel] | Mapping[str, Json] | None = None,
    ) -> Answer:
        if schema is not None:
            ask = partial(self.pipeline.ask, question, filter=filter, principals=principals, history=history)
            return await _in_thread(partial(ask, schema=schema))
        stream = self.stream([question], filter=filter, principals=principals, history=history)
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, Answered):
                    return event.answer
        raise AssertionError("a stream ends with an answer for each question")

    async def ask_many(
        self, questions: Sequence[str], *, filter: Condition | None = None, principals: frozenset[str] | None = None
    ) -> list[Answer]:
        async with aclosing(self.stream(questions, filter=filter, principals=principals)) as events:
            answers = {event.at: event.answer async for event in events if isinstance(event, Answered)}
        return [answers[at] for at in range(len(questions))]

    async def search(
        self, question: str, *, filter: Condition | None = None, principals: frozenset[str] | None = None
    ) -> SearchResult:
        return await _in_thread(partial(self.pipeline.search, question, filter=filter, principals=principals))

    async def ingest(
        self,
        *,
        prune: bool = False,
        strict: bool = False,
        force: bool = False,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        return await _in_thread(
            partial(self.pipeline.ingest, prune=prune, strict=strict, force=force, progress=progress)
        )

    async def stream(
        self,
        questions: Sequence[str],
        *,
        filter: Condition | None = None,
        principals: frozenset[str] | None = None,
        history: Sequence[Turn] = (),
    ) -> AsyncGenerator[Event, None]:
        """The events of `Pipeline.stream`, pulled one at a time."""
        events = self.pipeline.stream(questions, filter=filter, principals=principals, history=history)
        loop = asyncio.get_running_loop()
        caller, context = _caller()
        thread = ThreadPoolExecutor(1, thread_name_prefix="rag-stream")
        try:
            while (event := await loop.run_in_executor(thread, context.run, _next, events)) is not None:
                yield event
        finally:
            caller.leave()
            thread.submit(context.run, _close, events)
            thread.shutdown(wait=False)  # waiting here would stop the event loop for the step that runs


def _next(events: Iterator[Event]) -> Event | None:
    return next(events, None)


def _close(events: object) -> None:
    close = getattr(events, "close", None)
    if close is not None:
        close()


async def _in_thread(call: Callable[[], Result]) -> Result:
    caller, context = _caller()
    try:
        return await asyncio.get_running_loop().run_in_executor(None, context.run, call)
    finally:
        caller.leave()


def _caller() -> tuple[Caller, Context]:
    """One who may leave, and the context of the threads that work for them: this one's, but for that."""
    caller, context = Caller(), copy_context()
    context.run(CALLER.set, caller)
    return caller, context
