"""Answers written by a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import Literal

from rag.generate.abstain import SENTENCE, Reason, opens_with_mark
from rag.generate.base import Outcome
from rag.generate.prompt import render
from rag.models.llm import LanguageModel, Sampling
from rag.models.sized import sized
from rag.models.template import Template
from rag.types import Prompt, Token, Usage


class LanguageModelGenerator:
    """Has `model` answer from the evidence. Without any evidence it abstains and does not ask the model.

    Args:
        max_tokens: what the model may write; held back from its window.
    """

    mode: Literal["generated"] = "generated"

    def __init__(self, model: LanguageModel, template: Template, *, max_tokens: int) -> None:
        self.model = model
        self.template = template
        self.max_tokens = max_tokens

    def start(self, prompts: Sequence[Prompt]) -> LanguageModelDecoding:
        return LanguageModelDecoding(self, prompts)


class LanguageModelDecoding:
    """Replies as they come, interleaved. A model that says the sources do not answer is taken to abstain."""

    def __init__(self, generator: LanguageModelGenerator, prompts: Sequence[Prompt]) -> None:
        self.generator = generator
        self.prompts = prompts
        self._outcomes: dict[int, Outcome] = {}

    def __iter__(self) -> Iterator[tuple[int, Token]]:
        if len(self.prompts) == 1:
            return ((0, token) for token in self._write(0))
        return _interleaved(self._write, len(self.prompts), threads=sized(self.generator.model).concurrency)

    def outcome(self, at: int) -> Outcome:
        return self._outcomes[at]

    def _write(self, at: int) -> Iterator[Token]:
        prompt, generator = self.prompts[at], self.generator
        if not prompt.evidence:
            yield self._abstained(at, "no-evidence", Usage())
            return
        model = sized(generator.model)
        tokens = model.window - generator.max_tokens
        messages, given = render(prompt, generator.template, tokens=tokens, count=model.count)
        usage = Usage()
        held, abstains = "", None  # the first pieces wait until they cannot be the mark of abstention any more
        for piece in generator.model.stream(messages, Sampling(max_tokens=generator.max_tokens)):
            if isinstance(piece, Usage):
                usage += piece
            elif abstains is None:
                held += piece.text
                abstains = opens_with_mark(held)
                if abstains is False:
                    yield Token(held)
            elif not abstains:
                yield piece
        if abstains:
            yield self._abstained(at, "not-in-sources", usage)
            return
        if abstains is None and held:
            yield Token(held)
        self._outcomes[at] = Outcome(usage=usage, given=given)

    def _abstained(self, at: int, reason: Reason, usage: Usage) -> Token:
        self._outcomes[at] = Outcome(usage=usage, abstained=True, reason=reason)
        return Token(SENTENCE)


def _interleaved(write: Callable[[int], Iterator[Token]], count: int, *, threads: int) -> Iterator[tuple[int, Token]]:
    """The tokens of `count` generations run on `threads` threads, each with its position, as they come.

    The first failure ends all. Nobody runs on after the consumer has gone, beyond the token in the making.
    """
    ready: SimpleQueue[tuple[int, Token] | BaseException | None] = SimpleQueue()
    gone = Event()

    def run(at: int) -> None:
        try:
            for token in write(at):
                if gone.is_set():
                    return
                ready.put((at, token))
        except BaseException as error:
            ready.put(error)
        else:
            ready.put(None)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="rag-generate")
    try:
        for at in range(count):
            pool.submit(run, at)
        running = count
        while running:
            item = ready.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        gone.set()
        pool.shutdown(cancel_futures=True)
