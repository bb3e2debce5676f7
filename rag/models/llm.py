"""The text interface of a language model that several stages share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rag.types import Token, Usage


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished reply and what it cost."""

    text: str
    usage: Usage


class LanguageModel(Protocol):
    """A chat model that gives text.

    Raises:
        BackendError: the server cannot be reached, refuses, or answers with nonsense, after the retries.
    """

    def complete(self, messages: Sequence[Message]) -> Completion: ...

    def stream(self, messages: Sequence[Message]) -> Iterator[Token | Usage]:
        """Pieces of the reply as they come, and at the end one `Usage`."""
        ...

    def close(self) -> None: ...
