"""A language model that says what it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from rag.models.llm import AS_SET, Choice, Completion, Message, Sampling
from rag.types import Token, Usage

T = TypeVar("T")


class ScriptedModel:
    """Gives `replies` one after the other and keeps what it was asked in `asked` and `samplings`; streams word by word.

    A reply given as tokens is streamed as they are, with how probable they were. Where it is to choose, it gives
    `choices`, probabilities by option. An exception among either is raised. Tokens are counted as words.

    Raises:
        AssertionError: asked more often than there are replies, or choices.
    """

    def __init__(
        self,
        replies: Sequence[str | Sequence[Token] | Exception] = (),
        *,
        choices: Sequence[Mapping[str, float] | Exception] = (),
    ) -> None:
        self.replies = list(replies)
        self.choices = list(choices)
        self.asked: list[tuple[Message, ...]] = []
        self.samplings: list[Sampling] = []
        self._replies = iter([reply if isinstance(reply, Exception) else _tokens(reply) for reply in self.replies])
        self._choices = iter(self.choices)

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        text = "".join(token.text for token in self._next(self._replies, messages, sampling))
        return Completion(text, _usage(messages, text))

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        tokens = self._next(self._replies, messages, sampling)
        yield from tokens
        yield _usage(messages, "".join(token.text for token in tokens))

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        shares = self._next(self._choices, messages, AS_SET)
        return Choice(tuple(shares.get(option, 0.0) for option in options), _usage(messages, "one"))

    def close(self) -> None:
        """Nothing to close."""

    def _next(self, script: Iterator[T | Exception], messages: Sequence[Message], sampling: Sampling) -> T:
        reply = next(script, None)
        if reply is None:
            counts = f"{len(self.replies)} replies and {len(self.choices)} choices"
            raise AssertionError(f"asked {len(self.asked) + 1} times, the script has {counts}")
        self.asked.append(tuple(messages))
        self.samplings.append(sampling)
        if isinstance(reply, Exception):
            raise reply
        return reply


def _tokens(reply: str | Sequence[Token]) -> Sequence[Token]:
    return [Token(word) for word in re.findall(r"\s*\S+|\s+", reply)] if isinstance(reply, str) else reply


def _usage(messages: Sequence[Message], reply: str) -> Usage:
    return Usage(sum(len(message.content.split()) for message in messages), len(reply.split()), 1)
