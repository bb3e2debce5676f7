"""`first_k`: the first tokens of each chunk are computed again (EPIC, arXiv 2410.15332)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Request, only
from rag.kv.variant import Variant


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Recompute the first `tokens` of each chunk: read on its own, a chunk makes its first tokens attention sinks,
    which they are not in the middle of a prompt.

    Of a part of a chunk those count that stand so early in the whole one, as it was read: others are no sinks.
    """

    tokens: int = 16
    encode: Encode = "behind-prefix"
    name: str = "first_k"
    exact: bool = False
    profiles: bool = False

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        return only(variants)

    def repair(self, request: Request) -> Sequence[Tensor]:
        return [chunk.rows[: self._early(chunk.place)] for chunk in request.chunks]

    def _early(self, place: Place) -> int:
        return sum(min(end, self.tokens) - start for start, end in place.ranges if start < self.tokens)
