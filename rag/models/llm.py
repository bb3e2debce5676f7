"""The text interface of a language model that several stages share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from rag.types import Token, Usage

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

Tier: TypeAlias = Literal["text", "logprobs", "attention"]
"""What a backend shows: the text it writes; how probable its tokens are; where it looks (and all before it)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. A last message of the assistant is a draft, which the model continues.

    `passages` are code-point ranges of `content`, in order and apart, each the text of a source: a backend may compute
    the keys and values of each on its own and keep them. Others need not care. `access` names for each passage who may
    see it, by `rag.models.passages.access_key`; empty where nobody set that: what is kept of a passage serves no other
    passage of the same text that others may see.
    """

    role: Literal["system", "user", "assistant"]
    content: str
    passages: tuple[tuple[int, int], ...] = ()
    access: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.access and len(self.access) != len(self.passages):
            raise ValueError(f"{len(self.access)} access lists for {len(self.passages)} passages")


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished reply and what it cost."""

    text: str
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one reply is drawn; ``None`` leaves it to the model's own options.

    `schema` is a JSON Schema that the reply must satisfy; a server that cannot hold to it is asked all the same, so
    what comes back is validated by who asked. With `logprobs`, streamed tokens carry how probable they were, from a
    backend that offers it.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: Mapping[str, Json] | None = None
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """How probable each option is as the reply's first token, in the order of the options; they need not sum to 1."""

    probabilities: tuple[float, ...]
    usage: Usage


AS_SET = Sampling()
"""As the model's own options say."""


class LanguageModel(Protocol):
    """A chat model that gives text.

    Raises:
        BackendError: the server cannot be reached, refuses, or answers with nonsense, after the retries.
    """

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion: ...

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        """Pieces of the reply as they come, and at the end one `Usage`."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class ChoosingModel(LanguageModel, Protocol):
    """A chat model that also gives the probabilities of its next token."""

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        """How probable each of `options` (``"Yes"``, ``"No"``) is as the first token of the reply.

        An option that the server does not list among its most probable tokens counts as 0.

        Raises:
            BackendError: also where the server gives no log-probabilities.
        """
        ...


@runtime_checkable
class PreloadingModel(LanguageModel, Protocol):
    """A chat model that keeps what it read of passages."""

    def preload(self, messages: Sequence[Message]) -> None:
        """These passages may be shown soon, behind what stands before the first of them: returns at once.

        What is kept of them may be brought nearer in the background; nothing is computed.
        """
        ...


@runtime_checkable
class CountingModel(LanguageModel, Protocol):
    """A chat model that says how much it takes."""

    @property
    def window(self) -> int:
        """How many tokens prompt and reply may have together."""
        ...

    @property
    def concurrency(self) -> int:
        """How many replies it writes at the same time; further callers wait."""
        ...

    def count(self, text: str) -> int:
        """How many tokens a text has in a prompt; an estimate where the tokenizer is behind a server."""
        ...


@runtime_checkable
class MeasuringModel(CountingModel, Protocol):
    """A chat model that says how long a whole prompt is, and need not tokenise it again when it is then asked."""

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        """How many tokens the prompt of these messages has, chat format included."""
        ...
