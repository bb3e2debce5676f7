"""What a policy decides: which stored variant of a chunk to use, and which of its tokens to compute again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from rag.kv.layout import NOTHING, Place
from rag.kv.variant import Variant

Encode: TypeAlias = Literal["behind-prefix", "alone", "in-context"]
"""How a chunk that is not in the store is read: on its own behind the shared prefix, without even that, or in its place
in the prompt."""

Measure: TypeAlias = Literal["keys", "keys+values"]


@dataclass(frozen=True, slots=True)
class Spliced:
    """A chunk that was put into the prompt from a cache; `scores` (tokens,) are those recorded when it was made.

    `variant` is ``None`` where it was missing and has just been read on its own.
    """

    place: Place
    variant: Variant | None
    scores: Tensor | None = None

    @property
    def rows(self) -> Tensor:
        return torch.arange(self.place.start, self.place.end)


class Request(Protocol):
    """A prompt whose chunks are in place and not yet repaired."""

    @property
    def chunks(self) -> Sequence[Spliced]: ...

    def deviation(self, *, layer: int, measure: Measure) -> Tensor:
        """How far each row's cached keys (and values) at `layer` are from fresh ones, (tokens of the prompt,) float32.

        Runs all rows through the layers up to there, and leaves what it computed in place.
        """
        ...


class Policy(Protocol):
    """Immutable; one serves all requests."""

    @property
    def name(self) -> str: ...

    @property
    def encode(self) -> Encode: ...

    @property
    def exact(self) -> bool:
        """Whether the result is that of a plain prefill."""
        ...

    @property
    def profiles(self) -> bool:
        """Whether the attention of new chunks to those in front is to be recorded with their caches."""
        ...

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        """The variant to splice in, or ``None`` to compute the chunk.

        Args:
            unbroken: all chunks in front were reused as they are.
        """
        ...

    def repair(self, request: Request) -> Sequence[Tensor]:
        """Rows of the prompt to compute again, in any order."""
        ...


def only(variants: Sequence[Variant], context: bytes = NOTHING) -> Variant | None:
    """The variant that was encoded in that context."""
    return next((variant for variant in variants if variant.context == context), None)
