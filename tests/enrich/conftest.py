"""A language model that is a function, and the parts of an enricher around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock

import pytest

from rag.enrich.cache import ReplyCache
from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.types import Chunk, Document, Span, Token, Usage


class FunctionModel:
    """Replies what a function of the messages says; keeps what it was asked, and how much at the same time at most."""

    def __init__(self, reply: Callable[[Sequence[Message]], str], *, model: str = "function") -> None:
        self.reply = reply
        self.model = model
        self.asked: list[Sequence[Message]] = []
        self.samplings: list[Sampling] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = Lock()

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        with self._lock:
            self.asked.append(tuple(messages))
            self.samplings.append(sampling)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return Completion(self.reply(messages), Usage(10, 2, 1))
        finally:
            with self._lock:
                self._at_once -= 1

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        completion = self.complete(messages, sampling)
        yield Token(completion.text)
        yield completion.usage

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = ReplyCache(tmp_path)
    yield made
    made.close()


@pytest.fixture
def of() -> Callable[..., tuple[Document, list[Chunk]]]:
    """``of("one", "two")``: a document with a chunk for each text."""

    def make(*texts: str, id: str = "d", title: str | None = None) -> tuple[Document, list[Chunk]]:
        document = Document(id=id, text="\n\n".join(texts), meta={} if title is None else {"title": title})
        chunks, at = [], 0
        for text in texts:
            chunks.append(Chunk(span=Span(id, at, at + len(text)), text=text))
            at += len(text) + 2
        return document, chunks

    return make


@pytest.fixture
def function_model() -> type[FunctionModel]:
    return FunctionModel
