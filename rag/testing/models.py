"""A language model that says what it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.types import Token, Usage


class ScriptedModel:
    """Gives `replies` one after the other and keeps what it was asked in `asked` and `samplings`; streams word by word.

    An exception among the replies is raised. Tokens are counted as words.

    Raises:
        AssertionError: asked more often than there are replies.
    """

    def __init__(self, replies: Sequence[str | Exception]) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Message, ...]] = []
        self.samplings: list[Sampling] = []

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        reply = self._next(messages, sampling)
        return Completion(reply, _usage(messages, reply))

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        reply = self._next(messages, sampling)
        for word in re.findall(r"\s*\S+|\s+", reply):
            yield Token(word)
        yield _usage(messages, reply)

    def close(self) -> None:
        """Nothing to close."""

    def _next(self, messages: Sequence[Message], sampling: Sampling) -> str:
        if len(self.asked) == len(self.replies):
            raise AssertionError(f"asked {len(self.asked) + 1} times, the script has {len(self.replies)} replies")
        reply = self.replies[len(self.asked)]
        self.asked.append(tuple(messages))
        self.samplings.append(sampling)
        if isinstance(reply, Exception):
            raise reply
        return reply


def _usage(messages: Sequence[Message], reply: str) -> Usage:
    return Usage(sum(len(message.content.split()) for message in messages), len(reply.split()), 1)
