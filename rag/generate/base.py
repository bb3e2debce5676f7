"""The generate stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from rag.generate.shape import Shape
from rag.types import Prompt, Token, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one generation ended. `abstained` with a `reason` when there was too little evidence to answer.

    `given` are the numbers of the evidence that the generator saw; ``None``: all of it. `prompt` is the name and
    version of the template that a model was asked with. `signals` say by name how sure it is of the answer, such as
    ``agreement``, each higher for the surer.
    """

    usage: Usage = field(default_factory=Usage)
    given: tuple[int, ...] | None = None
    prompt: str = ""
    abstained: bool = False
    reason: str = ""
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Structured:
    """An answer in a schema: an object of the model, or plain JSON; ``None`` where the sources do not say."""

    value: object
    outcome: Outcome


class Decoding(Protocol):
    """Tokens of all prompts as they come, each with the position of its prompt."""

    def __iter__(self) -> Iterator[tuple[int, Token]]: ...

    def stop(self, at: int) -> None:
        """End the generation for prompt `at`; called while iterating, after which no token of it need be given."""
        ...

    def outcome(self, at: int) -> Outcome:
        """How the generation for prompt `at` ended; asked for after the iteration."""
        ...


@runtime_checkable
class Selective(Protocol):
    """A decoding that says while it runs which evidence fitted into a prompt; others say it with the outcome."""

    def given(self, at: int) -> tuple[int, ...] | None:
        """The numbers of the evidence in prompt `at`, once a token of it was given; ``None``: all of it."""
        ...


class Generator(Protocol):
    """Writes answers with ``[n]`` markers that name the evidence by number, from 1."""

    @property
    def mode(self) -> Literal["extractive", "generated"]: ...

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> Decoding:
        """Write an answer to each prompt; one with a draft is continued, and the draft not given again.

        With `logprobs`, tokens carry how probable they were, from what knows it.
        """
        ...


@runtime_checkable
class ExpectingGenerator(Generator, Protocol):
    """A generator that can get ready while evidence is still being chosen."""

    def expect(self, prompt: Prompt) -> None:
        """Some of the prompt's evidence may come; returns at once."""
        ...


@runtime_checkable
class StructuringGenerator(Generator, Protocol):
    """A generator that also answers in a schema."""

    def structure(self, prompt: Prompt, shape: Shape) -> Structured:
        """Answer one question with a value of `shape`.

        Raises:
            StructureError: what was written does not fit the schema, also after a second try.
        """
        ...
