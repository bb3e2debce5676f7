"""Asking a language model about many chunks: several at a time, each question once, what it said kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from hashlib import blake2b
from threading import Lock
from typing import Generic, Protocol, TypeVar, runtime_checkable

from rag.enrich.cache import ReplyCache
from rag.enrich.tally import ChunkFailure, Cost, EnrichmentTally
from rag.errors import BackendError
from rag.models.llm import Json, LanguageModel, Message, Sampling
from rag.models.replies import object_in
from rag.models.tokens import message_tokens
from rag.types import Chunk, Usage

FORMAT = 1  # raised when a reply that was kept is read in another way
IN_A_ROW = 10  # requests that failed one after the other: the server is gone, not the chunk is odd

T = TypeVar("T")


class UnusableReplyError(ValueError):
    """A reply that cannot be read; says what is wrong in words the model can act on."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one chunk."""

    chunk: Chunk
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in any currency."""

    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    """How one question went: what was read from its reply, or why there is none of use."""

    usage: Usage
    value: T | None = None
    error: BackendError | UnusableReplyError | None = None


class Asking:
    """A language model, how its replies are drawn, and where they are kept.

    A reply that cannot be read is asked for once more, with the error told. Replies are kept under a hash of the
    model's name, the messages and the sampling (with its JSON Schema), so that nothing is asked twice, in this run or
    another.
    """

    def __init__(
        self,
        model: LanguageModel,
        cache: ReplyCache,
        *,
        sampling: Sampling,
        concurrency: int,
        prices: Prices | None = None,
    ) -> None:
        self.model = model
        self.cache = cache
        self.sampling = sampling
        self.concurrency = concurrency
        self.prices = prices
        self._in_a_row: list[BackendError] = []
        self._lock = Lock()

    @property
    def identity(self) -> str:
        """The model's name and the sampling."""
        return json.dumps([FORMAT, model_name(self.model), asdict(self.sampling)], sort_keys=True)

    def ask_all(
        self, questions: Sequence[Question], read: Callable[[Chunk, str], T], tally: EnrichmentTally
    ) -> list[T | None]:
        """What `read` makes of each reply; ``None`` where there is no usable one, which is noted in `tally`.

        Args:
            read: raises `UnusableReplyError` for a reply that is of no use.

        Raises:
            BackendError: `IN_A_ROW` requests failed one after the other.
        """
        values: list[T | None] = [None] * len(questions)
        missing: dict[str, list[int]] = {}
        keys = self._keys(questions)
        known = self.cache.get(keys)
        for at, (question, key) in enumerate(zip(questions, keys, strict=True)):
            if key in known:
                values[at] = read(question.chunk, known[key])
                tally.cached += 1
            else:
                missing.setdefault(key, []).append(at)
        if not missing:
            tally.step()
            return values
        self._in_a_row.clear()
        pool = ThreadPoolExecutor(min(self.concurrency, len(missing)), thread_name_prefix="enrich")
        try:
            running = {pool.submit(self._ask, questions[ats[0]], key, read): key for key, ats in missing.items()}
            for future in as_completed(running):
                key, outcome = running[future], future.result()
                for at in missing[key]:
                    values[at] = outcome.value
                self._note(outcome, [questions[at].chunk for at in missing[key]], tally)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return values

    def cost(self, questions: Sequence[Question]) -> Cost:
        """What `ask_all` would ask, if every first reply can be read."""
        keys = self._keys(questions)
        known = self.cache.get(keys)
        missing = {key: question for key, question in zip(keys, questions, strict=True) if key not in known}
        messages = [message for question in missing.values() for message in question.messages]
        tokens = {message: message_tokens([message]) for message in set(messages)}  # many share a document
        prompt = sum(tokens[message] for message in messages)
        completion = len(missing) * (self.sampling.max_tokens or 0)
        price = None
        if self.prices is not None:
            price = (prompt * self.prices.prompt + completion * self.prices.completion) / 1e6
        return Cost(
            chunks=len(questions),
            requests=len(missing),
            cached=sum(key in known for key in keys),
            prompt_tokens=prompt,
            completion_tokens=completion,
            price=price,
        )

    def _keys(self, questions: Sequence[Question]) -> list[str]:
        identity = self.identity
        texts = (json.dumps([identity, [asdict(m) for m in question.messages]]) for question in questions)
        return [blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]

    def _ask(self, question: Question, key: str, read: Callable[[Chunk, str], T]) -> _Outcome[T]:
        """In a thread of the pool: ask, once more if the reply is of no use, and not at all once the server is gone.

        A reply is kept before the thread asks for the next one.
        """
        with self._lock:
            if len(self._in_a_row) >= IN_A_ROW:
                return _Outcome(Usage(), error=self._in_a_row[-1])
        messages, usage = list(question.messages), Usage()
        error: BackendError | UnusableReplyError | None = None
        for _ in range(2):
            try:
                completion = self.model.complete(messages, self.sampling)
                with self._lock:
                    self._in_a_row.clear()
                usage += completion.usage
                value = read(question.chunk, completion.text)
                self.cache.put(key, completion.text)
                return _Outcome(usage, value)
            except BackendError as failed:
                with self._lock:
                    self._in_a_row.append(failed)
                return _Outcome(usage, error=failed)
            except UnusableReplyError as unusable:
                error = unusable
                again = f"That reply cannot be used: {unusable}\nGive the whole reply again, corrected."
                messages += [Message("assistant", completion.text), Message("user", again)]
        return _Outcome(usage, error=error)

    def _note(self, outcome: _Outcome[T], chunks: Sequence[Chunk], tally: EnrichmentTally) -> None:
        tally.asked += len(chunks)
        tally.usage += outcome.usage
        if isinstance(outcome.error, BackendError) and len(self._in_a_row) >= IN_A_ROW:
            outcome.error.add_note(f"{IN_A_ROW} requests failed one after the other; replies so far are kept")
            raise outcome.error
        if outcome.error is not None:
            reason = outcome.error.message if isinstance(outcome.error, BackendError) else str(outcome.error)
            passing = isinstance(outcome.error, BackendError)
            tally.failed += [ChunkFailure(chunk.id, chunk.document_id, reason, passing) for chunk in chunks]
        tally.step()


@runtime_checkable
class _Named(Protocol):
    model: str


def model_name(model: LanguageModel) -> str:
    """The name of what a server runs; of an object without one, its class."""
    return model.model if isinstance(model, _Named) else type(model).__qualname__


def the_object(reply: str) -> Mapping[str, Json]:
    """The JSON object that a reply consists of.

    Raises:
        UnusableReplyError: it is none.
    """
    found = object_in(reply)
    if found is None:
        raise UnusableReplyError("expected one JSON object and nothing else")
    return found
