"""`prefix`: chunks are reused while everything in front of them is what it was when they were read; exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Request, only
from rag.kv.variant import Variant


@dataclass(frozen=True, slots=True)
class ExactPrefix:
    """Prefix caching by chunks: same tokens in front, token by token, or it is computed."""

    encode: Encode = "in-context"
    name: str = "prefix"
    exact: bool = True
    profiles: bool = False

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        return only(variants, place.context) if unbroken else None

    def repair(self, request: Request) -> Sequence[Tensor]:
        return ()
