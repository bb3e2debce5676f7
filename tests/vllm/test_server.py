"""A vLLM server under ``rag serve-llm``, asked through the pipeline and through the client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest
import yaml

from rag import Components, Pipeline
from rag.errors import BackendError
from rag.models.llm import AS_SET, Message, Sampling
from rag.models.openai import OpenAIModel
from rag.models.retry import Backoff
from rag.testing.vllm_server import VllmServer, children, until
from rag.types import Token, Usage

REQUESTS, CALLERS, DISTINCT = 1000, 32, 125
LONG = 2500  # tokens of a reply; tens of seconds of work for the steady model, which never ends one by itself
WORDS = ["dogs", "owls", "robin", "mice", "sentence", "leave", "March", "night", "gato", "barks", "hunt", "days"]

PIPELINE = """
version: 1
extends: sparse
llm: {use: given}
ingest:
  load: [{use: files, root: %(root)s}]
  index: {path: %(index)s}
ask:
  retrieve: [{use: sparse, k: 3}]
  generate: {use: llm, max_tokens: %(length)d}
"""


class Watched(OpenAIModel):
    """Says when a caller has the first token of a reply."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.begun = Event()

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        with closing(super().stream(messages, sampling)) as pieces:  # type: ignore[type-var]  # a generator
            for piece in pieces:
                self.begun.set()
                yield piece


@contextmanager
def client(server: VllmServer, *, max_tokens: int = 24, retries: int = 0) -> Iterator[Watched]:
    model = Watched(
        base_url=server.base_url,
        model=server.name,
        max_tokens=max_tokens,
        context_tokens=4096,
        concurrency=CALLERS,
        continues=True,
        timeout_seconds=300,
        backoff=Backoff(retries=retries),
    )
    try:
        yield model
    finally:
        model.close()


@contextmanager
def pipeline(server: VllmServer, folder: Path, *, length: int = 12) -> Iterator[tuple[Pipeline, Watched]]:
    """Questions about a few notes, answered by the server's model in `length` tokens at most."""
    root = folder / "notes"
    root.mkdir()
    for number in range(12):
        (root / f"{number}.md").write_text(f"Note {number}. The lamp {number} is lit by keeper {number * 7}.")
    text = PIPELINE % {"root": root, "index": folder / "index", "length": length}
    (folder / "pipeline.yaml").write_text(text)
    with (
        client(server) as model,
        Pipeline.from_yaml(folder / "pipeline.yaml", components=Components(llm=model)) as made,
    ):
        made.ingest()
        yield made, model


@contextmanager
def stopped_early(server: VllmServer) -> Iterator[None]:
    """What is begun inside is not written to its end, `LONG` tokens."""
    assert until(lambda: server.metrics().running == 0)
    before = server.metrics().generated_tokens
    yield
    assert until(lambda: server.metrics().running == 0)
    assert server.metrics().generated_tokens - before < LONG


def test_a_thousand_requests_of_32_callers_each_get_their_own_answer(server: VllmServer, tmp_path: Path) -> None:
    words = [Random(at).sample(WORDS, 4) for at in range(DISTINCT)]
    questions = [f"Which keeper lights lamp {at % 12}? {' '.join(words[at])}" for at in range(DISTINCT)]
    assert len(set(questions)) == DISTINCT
    with pipeline(server, tmp_path) as (asked, _):
        alone = {question: asked.ask(question).text for question in questions}
        assert len(set(alone.values())) > DISTINCT // 3  # the premise: most answers that are swapped differ
        wanted = [questions[at % DISTINCT] for at in range(REQUESTS)]

        async def caller(turns: Iterator[int], found: dict[int, str]) -> None:
            for at in turns:
                answer = await asked.aio.ask(wanted[at])
                assert at not in found
                assert answer.query == wanted[at]
                found[at] = answer.text

        async def all_callers() -> dict[int, str]:
            found: dict[int, str] = {}
            turns = iter(range(REQUESTS))
            await asyncio.gather(*(caller(turns, found) for _ in range(CALLERS)))
            return found

        found = asyncio.run(all_callers())
    assert sorted(found) == list(range(REQUESTS))
    assert [at for at in range(REQUESTS) if found[at] != alone[wanted[at]]] == []


def test_prompts_that_begin_alike_are_found_in_the_servers_cache_and_counted(server: VllmServer) -> None:
    chat = [Message("user", "A lamp is lit by its keeper. " * 20)]
    with client(server) as model:
        model.complete(chat)
        before = server.metrics()
        usage = model.complete(chat).usage
        after = server.metrics()
    assert usage.cached_tokens >= 64
    assert after.prefix_hits - before.prefix_hits == usage.cached_tokens


def test_log_probabilities_stop_strings_and_drafts_come_through_the_server(server: VllmServer) -> None:
    chat = [Message("user", "Which keeper lights lamp 5?")]
    with client(server) as model:
        whole = model.complete(chat).text
        *pieces, usage = model.stream(chat, Sampling(logprobs=True))
        tokens = [piece for piece in pieces if isinstance(piece, Token)]
        assert "".join(token.text for token in tokens) == whole
        assert all(token.logprob is not None and token.entropy is not None for token in tokens)
        assert isinstance(usage, Usage)
        assert not usage.estimated
        stop = whole[5:7]
        assert model.complete(chat, Sampling(stop=(stop,))).text == whole[: whole.index(stop)]
        continued = model.complete([*chat, Message("assistant", "Keeper")], Sampling(max_tokens=8))
        assert continued.usage.prompt_tokens > usage.prompt_tokens
        assert continued.text != model.complete(chat, Sampling(max_tokens=8)).text


def test_a_caller_that_leaves_stops_the_work_on_the_server(steady_server: VllmServer) -> None:
    with client(steady_server, max_tokens=LONG) as model:
        chat = [Message("user", "Go on.")]
        assert model.complete(chat, Sampling(max_tokens=99)).usage.completion_tokens == 99  # the premise
        with stopped_early(steady_server):
            stream = model.stream(chat)
            with closing(stream):  # type: ignore[type-var]  # a generator
                next(stream)


def test_a_cancelled_ask_of_the_async_api_stops_the_work_on_the_server(
    steady_server: VllmServer, tmp_path: Path
) -> None:
    with pipeline(steady_server, tmp_path, length=LONG) as (asked, model):

        async def cancelled() -> None:
            task = asyncio.create_task(asked.aio.ask("Which keeper lights lamp 4?"))
            await asyncio.to_thread(model.begun.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with stopped_early(steady_server):
            asyncio.run(cancelled())


def test_a_killed_server_is_a_clear_error_and_works_again_when_it_is_back(server: VllmServer) -> None:
    chat = [Message("user", "Which keeper lights lamp 7?")]
    with client(server) as model:
        before = model.complete(chat).text
        server.kill()
        with pytest.raises(BackendError, match=r"cannot reach http://127\.0\.0\.1:\d+/v1|connection broke") as failed:
            model.complete(chat)
        assert failed.value.hint == "is the server running at that address?"
        printed = server.start()
        assert model.complete(chat).text == before
    assert yaml.safe_load(printed)["llm"]["context_tokens"] == 4096


def test_a_terminated_command_stops_the_server_and_all_its_processes(server: VllmServer) -> None:
    assert server.process is not None
    below = children(server.process.pid)
    assert len(below) >= 2  # the server and its engine
    server.stop()
    assert until(lambda: not any(Path(f"/proc/{process}/cmdline").exists() and _runs(process) for process in below))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
