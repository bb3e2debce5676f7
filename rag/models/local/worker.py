"""The one thread that runs a local model: replies step by step, side by side, and other jobs in between."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeAlias, TypeVar

from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from rag.errors import BackendError
from rag.models.caller import CALLER
from rag.models.local.batch import Batch, Row
from rag.models.local.circles import Circles
from rag.models.local.reply_text import Detokeniser, StopStrings
from rag.models.local.sampler import Sampler
from rag.types import Token, Usage

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that was read: the logits (vocabulary,) of its last token, a cache to go on from, what it cost."""

    ids: tuple[int, ...]
    logits: Tensor
    cache: Cache
    usage: Usage


@dataclass(frozen=True, slots=True)
class Request:
    """A reply to write: `read` reads the prompt, in the worker's thread. `circles` may end it early."""

    read: Callable[[], Prompt]
    sampler: Callable[[], Sampler]
    detokeniser: Callable[[tuple[int, ...]], Detokeniser]
    stops: tuple[str, ...]
    ends: frozenset[int]
    max_tokens: int
    window: int
    circles: Circles | None = None


Given: TypeAlias = Token | Usage | Exception


class Reply:
    """A reply in the making; `gone` once nobody waits for it any more."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.given: SimpleQueue[Given] = SimpleQueue()
        self.gone = Event()
        self.row: Row | None = None
        self._usage = Usage()
        self._written = 0

    def start(self) -> tuple[Row, Cache] | None:
        """Read the prompt and draw the first token; ``None`` where that is already the end."""
        prompt = self.request.read()
        self._usage = prompt.usage
        self._limit = min(self.request.max_tokens, self.request.window - len(prompt.ids))
        self._sampler = self.request.sampler()
        self._text = self.request.detokeniser(prompt.ids)
        self._stops = StopStrings(self.request.stops)
        self.row = Row(token=-1, position=len(prompt.ids))
        return (self.row, prompt.cache) if self.take(prompt.logits) else None

    def take(self, logits: Tensor) -> bool:
        """Draw a token and give out what text it brings; false at the end of the reply."""
        assert self.row is not None
        drawn = self._sampler.draw(logits)
        self._written += 1
        self.row.token = drawn.token
        if drawn.token in self.request.ends:
            return self._end()
        text = self._text.take(drawn.token)
        if text or drawn.logprob is not None:
            self._give(self._stops.take(Token(text, drawn.logprob, drawn.entropy)))
        if self._stops.found:
            return self._end()
        if self._sampler.finished:
            return self._end()
        if self.request.circles is not None and self.request.circles.take(drawn.token):
            logger.warning("the reply went in circles and was ended at %d tokens", self._written)
            return self._end()
        if self._written >= self._limit:
            logger.warning("the reply was cut at %d tokens", self._written)
            return self._end()
        return True

    def fail(self, error: Exception) -> None:
        self.given.put(error)

    def _end(self) -> bool:
        rest = self._text.end()
        if rest and not self._stops.found:
            self._give(self._stops.take(Token(rest)))
        if not self._stops.found:
            self._give(self._stops.end())
        self.given.put(self._usage + Usage(0, self._written, 1))
        return False

    def _give(self, tokens: Iterator[Token]) -> None:
        for token in tokens:
            self.given.put(token)


class Worker:
    """Runs requests and jobs in the order they come; up to `rows` replies are written side by side.

    Between two tokens of the running replies, jobs run and waiting requests join. The thread starts with the first of
    either.
    """

    def __init__(self, model: Callable[[], PreTrainedModel], *, rows: int) -> None:
        self.model = model
        self.rows = rows
        self._lock = Lock()
        self._thread: Thread | None = None
        self._inbox: SimpleQueue[Reply | Callable[[], None] | None] = SimpleQueue()

    def run(self, job: Callable[[], T]) -> T:
        """What `job` gives, run in the worker's thread."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(job())
            except Exception as error:  # raised where the result is asked for
                done.set_exception(error)

        self._put(run)
        return done.result()

    def write(self, request: Request) -> Generator[Token | Usage]:
        """The reply as it comes, and what it cost; whoever stops iterating ends it."""
        reply = Reply(request)
        self._put(reply)
        left = BackendError("the reply was given up, for its caller has left")
        try:
            with CALLER.get().stopping(lambda: reply.fail(left)):
                while True:
                    given = reply.given.get()
                    if isinstance(given, Exception):
                        raise given
                    yield given
                    if isinstance(given, Usage):
                        return
        finally:
            reply.gone.set()

    def close(self) -> None:
        """End the thread; replies in the making fail."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._inbox.put(None)
                thread.join()

    def _put(self, item: Reply | Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._loop, name="rag-transformers", daemon=True)
                self._thread.start()
            self._inbox.put(item)

    def _loop(self) -> None:
        waiting: deque[Reply] = deque()
        running: list[Reply] = []
        batch = Batch(self.model)
        while True:
            for item in self._arrived(wait=not waiting and not running):
                if item is None:
                    for reply in (*running, *waiting):
                        reply.fail(BackendError("the model was closed while it wrote"))
                    return
                if isinstance(item, Reply):
                    waiting.append(item)
                else:
                    item()
            self._admit(waiting, running, batch)
            try:
                self._step(running, batch)
            except Exception as error:  # out of memory, a broken model: told to all who wait for a token of it
                for reply in running:
                    reply.fail(error)
                running.clear()
                batch = Batch(self.model)

    def _arrived(self, *, wait: bool) -> Iterator[Reply | Callable[[], None] | None]:
        if wait:
            yield self._inbox.get()
        while True:
            try:
                yield self._inbox.get_nowait()
            except Empty:
                return

    def _admit(self, waiting: deque[Reply], running: list[Reply], batch: Batch) -> None:
        while waiting and len(running) < self.rows:
            reply = waiting.popleft()
            if reply.gone.is_set():
                continue
            try:
                started = reply.start()
            except Exception as error:  # this prompt's own: too long, refused by the chat format
                reply.fail(error)
                continue
            if started is not None:
                batch.join(*started)
                running.append(reply)

    def _step(self, running: list[Reply], batch: Batch) -> None:
        here = [at for at, reply in enumerate(running) if not reply.gone.is_set()]
        batch.keep(here)
        running[:] = [running[at] for at in here]
        if not running:
            return
        logits = batch.step()
        going = [at for at, reply in enumerate(running) if reply.take(logits[at])]
        batch.keep(going)
        running[:] = [running[at] for at in going]
