"""`full`: everything is computed, nothing is stored; what the others are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Request
from rag.kv.variant import Variant


@dataclass(frozen=True, slots=True)
class Full:
    """A plain prefill."""

    encode: Encode = "in-context"
    name: str = "full"
    exact: bool = True
    profiles: bool = False

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        return None

    def repair(self, request: Request) -> Sequence[Tensor]:
        return ()
