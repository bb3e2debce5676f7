"""What the engine gives, and what it needs of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from rag.kv.chunk import ChunkCache
from rag.kv.splice import Splice
from rag.kv.types import ReuseReport
from rag.kv.variant import Variant


@dataclass(frozen=True, slots=True)
class Loaded:
    """A cache from a store, and the tier it was found in."""

    cache: ChunkCache
    tier: str


class Store(Protocol):
    """Where caches are kept. What it gives was checked; what is damaged is not there."""

    def variants(self, chunk: bytes) -> Sequence[Variant]: ...

    def load(self, variant: Variant, device: torch.device) -> Loaded | None:
        """``None`` where it is gone or damaged: the chunk is then computed."""
        ...

    def put(self, variant: Variant, cache: ChunkCache) -> None: ...

    def preload(self, variants: Sequence[Variant], device: torch.device) -> None:
        """Bring them nearer in the background; returns at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Prefilled:
    """A prompt that was read: `logits` (vocabulary,) of its last token, and a cache ready to decode from.

    `logits` is ``None`` where tokens were taken out of a prompt and its last one with them. Token i is at position i.
    """

    ids: tuple[int, ...]
    logits: Tensor | None
    cache: Cache
    report: ReuseReport
    splice: Splice = field(repr=False)

    @property
    def positions(self) -> range:
        return range(len(self.ids))


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Tokens [start, end) of a cache, to be put somewhere else; `ids` are these tokens."""

    cache: ChunkCache
    start: int
    end: int
    ids: tuple[int, ...]
