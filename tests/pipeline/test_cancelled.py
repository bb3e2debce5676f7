"""A cancelled question ends the work for it, wherever that stands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import ContextVar
from pathlib import Path

import pytest

from rag import Pipeline
from rag.events import Wrote
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.testing.vllm_server import until
from rag.types import Answer

BEGUN = b'data: {"choices": [{"delta": {"content": "Dogs bark at noon, and "}}]}\n\n'
QUESTION = "When do dogs bark?"
STALLED = Reply(pieces=[BEGUN], stall_after=1)
SILENT = Reply(hang=True)
BUSY = Reply(status=503, headers={"Retry-After": "30"})


def built(stub: OpenAIStub, folder: Path, *, patience: float) -> Pipeline:
    (folder / "notes.md").write_text("Dogs bark at noon.")
    overrides = [
        f"ingest.load=[{{use: files, root: '{folder}', include: ['*.md']}}]",
        f"ingest.index.path={folder / 'index'}",
        f"llm={{use: openai, base_url: '{stub.base_url}', model: m, timeout_seconds: {patience}}}",
        "ask.generate={use: llm}",
    ]
    pipeline = Pipeline.from_yaml("sparse", overrides=overrides)
    pipeline.ingest()
    return pipeline


async def cancelled(asking: Coroutine[object, object, object], stub: OpenAIStub) -> None:
    """Ask, and cancel when the server has the request."""
    task = asyncio.create_task(asking)  # type: ignore[arg-type]  # of any coroutine
    await asyncio.to_thread(until, lambda: len(stub.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def over() -> bool:
    return not any(thread.name.startswith("rag-stream") for thread in threading.enumerate())


@pytest.mark.parametrize(("reply", "patience"), [(STALLED, 60), (BUSY, 60), (SILENT, 0.5)])
@pytest.mark.parametrize("schema", [None, {"type": "object"}])
def test_a_cancelled_question_is_not_asked_again_and_its_thread_ends(
    reply: Reply, patience: float, schema: dict[str, str] | None, tmp_path: Path
) -> None:
    with OpenAIStub([reply] * 9) as stub, built(stub, tmp_path, patience=patience) as pipeline:
        asyncio.run(cancelled(pipeline.aio.ask(QUESTION, schema=schema), stub))  # returns when its threads have
        assert until(over, seconds=5)
        assert len(stub.requests) == 1


def test_a_consumer_that_leaves_a_stream_ends_it(tmp_path: Path) -> None:
    with OpenAIStub([STALLED]) as stub, built(stub, tmp_path, patience=60) as pipeline:

        async def first() -> None:
            events = pipeline.aio.stream([QUESTION])
            async for event in events:
                if isinstance(event, Wrote):
                    break
            await events.aclose()

        asyncio.run(first())
        assert until(over, seconds=5)


def test_a_question_after_a_cancelled_one_is_answered(tmp_path: Path) -> None:
    with OpenAIStub([STALLED, Reply(text="At noon [1].")]) as stub, built(stub, tmp_path, patience=60) as pipeline:

        async def both() -> Answer:
            await cancelled(pipeline.aio.ask(QUESTION), stub)
            return await pipeline.aio.ask(QUESTION)

        assert asyncio.run(both()).text == "At noon [1]."


def test_what_the_caller_has_in_its_context_is_there_in_the_threads_that_work_for_it(tmp_path: Path) -> None:
    mark: ContextVar[str] = ContextVar("mark", default="lost")
    seen: list[str] = []

    class Tracing:
        def span(self, name: str, **attributes: object) -> object:
            from contextlib import nullcontext

            seen.append(mark.get())
            return nullcontext()

    with OpenAIStub() as stub, built(stub, tmp_path, patience=60) as pipeline:
        pipeline.tracer = Tracing()  # type: ignore[assignment]  # as much as is called

        async def asked() -> None:
            mark.set("kept")
            await pipeline.aio.ask(QUESTION)

        asyncio.run(asked())
    assert set(seen) == {"kept"}
