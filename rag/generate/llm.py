"""Answers written by a language model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from queue import SimpleQueue
from threading import Event
from typing import Literal

from rag.errors import ConfigError
from rag.generate.abstain import SENTENCE, Reason, opens_with_mark
from rag.generate.base import Outcome, Structured
from rag.generate.prompt import UNBOUNDED, Budgets, render
from rag.generate.shape import Shape, asked
from rag.models.caller import CALLER
from rag.models.llm import LanguageModel, Message, PreloadingModel, Sampling
from rag.models.sized import sized
from rag.models.template import Template
from rag.types import Prompt, Token, Usage


class LanguageModelGenerator:
    """Has `model` answer from the evidence.

    Args:
        max_tokens: what the model may write; held back from its window.
        budgets: how many tokens evidence and earlier turns may have.
        structured: the template for answers in a schema (`structure`).
        without_evidence: where there is no evidence, ``abstain`` without asking the model, or let it ``answer``.
    """

    mode: Literal["generated"] = "generated"

    def __init__(
        self,
        model: LanguageModel,
        template: Template,
        *,
        max_tokens: int,
        budgets: Budgets = UNBOUNDED,
        structured: Template | None = None,
        without_evidence: Literal["abstain", "answer"] = "abstain",
    ) -> None:
        self.model = model
        self.template = template
        self.max_tokens = max_tokens
        self.budgets = budgets
        self.structured = structured
        self.without_evidence = without_evidence

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> LanguageModelDecoding:
        sampling = Sampling(max_tokens=self.max_tokens, logprobs=logprobs)
        return LanguageModelDecoding(self, prompts, [sampling] * len(prompts))

    def expect(self, prompt: Prompt) -> None:
        """Have a model that keeps what it read of sources bring nearer what it has of these."""
        if prompt.evidence and isinstance(self.model, PreloadingModel):
            messages, _ = render(prompt, self.template, tokens=sys.maxsize, count=len)
            self.model.preload(messages)

    def structure(self, prompt: Prompt, shape: Shape) -> Structured:
        """Answer one question with a value of `shape`.

        Raises:
            ConfigError: the generator was made without a template for it.
            StructureError: the model's second reply does not fit either.
        """
        if self.structured is None:
            raise ConfigError("this generator has no template for answers in a schema", hint="pass structured=...")
        if not prompt.evidence:
            return Structured(None, Outcome(abstained=True, reason="no-evidence"))
        model = sized(self.model)
        more = {"schema": json.dumps(shape.wrapped, ensure_ascii=False)}
        messages, given = render(
            prompt,
            self.structured,
            tokens=model.window - self.max_tokens,
            count=model.count,
            measure=model.measure,
            budgets=self.budgets,
            more=more,
        )
        sampling = Sampling(max_tokens=self.max_tokens, schema=shape.wrapped)
        value, usage = asked(self.model, messages, sampling, shape)
        abstains = value is None
        outcome = Outcome(usage=usage, given=given, prompt=self.structured.version, abstained=abstains)
        return Structured(value, replace(outcome, reason="not-in-sources") if abstains else outcome)


class LanguageModelDecoding:
    """Replies as they come, interleaved. A model that says the sources do not answer is taken to abstain.

    Behind a draft it is taken to have nothing to add. What a stopped reply cost is estimated from the tokens given.

    Args:
        samplings: how the reply to each prompt is drawn.
    """

    def __init__(
        self, generator: LanguageModelGenerator, prompts: Sequence[Prompt], samplings: Sequence[Sampling]
    ) -> None:
        self.generator = generator
        self.prompts = prompts
        self.samplings = samplings
        self._outcomes: dict[int, Outcome] = {}
        self._asked: dict[int, tuple[Sequence[Message], Outcome]] = {}
        self._given = [0] * len(prompts)
        self._stopped: set[int] = set()

    def __iter__(self) -> Generator[tuple[int, Token], None, None]:
        if len(self.prompts) == 1:
            pieces = ((0, token) for token in self._write(0))
        else:
            threads = sized(self.generator.model).concurrency
            pieces = _interleaved(self._write, len(self.prompts), threads=threads)
        with closing(pieces):
            for at, token in pieces:
                if at not in self._stopped:
                    self._given[at] += 1
                    yield at, token

    def stop(self, at: int) -> None:
        self._stopped.add(at)

    def given(self, at: int) -> tuple[int, ...] | None:
        return self._before(at).given

    def outcome(self, at: int) -> Outcome:
        if at not in self._stopped:
            return self._outcomes[at]
        # Also of a reply that has ended meanwhile, so that the same is said alone and in a batch.
        if at not in self._asked:
            return Outcome(usage=Usage(completion_tokens=self._given[at]))
        messages, asked = self._asked[at]
        read = sized(self.generator.model).measure(messages)
        return replace(asked, usage=Usage(read, self._given[at], 1, estimated=True))

    def _before(self, at: int) -> Outcome:
        """What is known before the reply; nothing where the model was not asked."""
        return self._asked[at][1] if at in self._asked else Outcome()

    def _write(self, at: int) -> Iterator[Token]:
        prompt, generator = self.prompts[at], self.generator
        if not prompt.evidence and generator.without_evidence == "abstain":
            yield from self._abstained(at, "no-evidence", Usage())
            return
        model = sized(generator.model)
        messages, given = render(
            prompt,
            generator.template,
            tokens=model.window - generator.max_tokens,
            count=model.count,
            measure=model.measure,
            budgets=generator.budgets,
        )
        self._asked[at] = (messages, Outcome(given=given, prompt=generator.template.version))
        usage = Usage()
        held: list[Token] = []  # the first pieces wait until they cannot be the mark of abstention any more
        abstains: bool | None = None
        with closing(self._reply(at, messages)) as reply:
            for piece in reply:
                if at in self._stopped:
                    return
                if isinstance(piece, Usage):
                    usage += piece
                elif abstains is None:
                    held.append(piece)
                    abstains = opens_with_mark("".join(token.text for token in held))
                    if abstains is False:
                        yield from self._begun(at, held)
                elif not abstains:
                    yield piece
        if abstains:
            yield from self._abstained(at, "not-in-sources", usage)
            return
        if abstains is None:
            if not prompt.draft and not "".join(token.text for token in held).strip():
                yield from self._abstained(at, "empty-reply", usage)
                return
            yield from self._begun(at, held)
        self._outcomes[at] = replace(self._before(at), usage=usage)

    def _reply(self, at: int, messages: Sequence[Message]) -> Generator[Token | Usage, None, None]:
        yield from self.generator.model.stream(messages, self.samplings[at])

    def _begun(self, at: int, held: Sequence[Token]) -> Iterator[Token]:
        """The first tokens, without white space before the first word of an answer; a draft goes on as it is."""
        blank = not self.prompts[at].draft
        for token in held:
            text = token.text.lstrip() if blank else token.text
            if text:
                blank = False
                yield replace(token, text=text)

    def _abstained(self, at: int, reason: Reason, usage: Usage) -> Iterator[Token]:
        if self.prompts[at].draft:
            self._outcomes[at] = replace(self._before(at), usage=usage, given=None)
            return
        self._outcomes[at] = replace(self._before(at), usage=usage, given=None, abstained=True, reason=reason)
        yield Token(SENTENCE)


def _interleaved(
    write: Callable[[int], Iterator[Token]], count: int, *, threads: int
) -> Generator[tuple[int, Token], None, None]:
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

    pool = ThreadPoolExecutor(threads, "rag-generate", initializer=CALLER.set, initargs=(CALLER.get(),))
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
