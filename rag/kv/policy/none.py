"""`none`: chunk caches are used as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Request, only
from rag.kv.variant import Variant


@dataclass(frozen=True, slots=True)
class NoRepair:
    """Chunks do not see each other; the fastest, and the farthest from a plain prefill."""

    encode: Encode = "behind-prefix"
    name: str = "none"
    exact: bool = False
    profiles: bool = False

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        return only(variants)

    def repair(self, request: Request) -> Sequence[Tensor]:
        return ()
