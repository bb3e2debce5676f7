"""A tier of tensors in this process: host memory, or the memory of the model's device."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rag.kv.chunk import ChunkCache
from rag.kv.store.eviction import Gdsf
from rag.kv.variant import Variant


class MemoryTier:
    """Thread-safe; its lock is held for bookkeeping alone, never while tensors move."""

    def __init__(self, budget: int, *, variants: int) -> None:
        self.eviction = Gdsf(budget)
        self.most_variants = variants
        self._lock = threading.Lock()
        self._held: dict[bytes, tuple[Variant, ChunkCache]] = {}
        self._by_chunk: dict[bytes, list[Variant]] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        return self.eviction.size

    def variants(self, chunk: bytes) -> Sequence[Variant]:
        with self._lock:
            return tuple(self._by_chunk.get(chunk, ()))

    def get(self, variant: Variant) -> ChunkCache | None:
        with self._lock:
            held = self._held.get(variant.key)
            if held is None:
                return None
            self.eviction.touch(variant.key)
            return held[1]

    def add(self, variant: Variant, cache: ChunkCache) -> None:
        """Keep a cache, and let go what it displaces; one larger than the whole tier is not kept."""
        with self._lock:
            gone = self.eviction.add(variant.key, work=variant.work, size=cache.size)
            if gone is None:
                return
            for key in gone:
                self._forget(key)
            self._forget(variant.key)
            self._held[variant.key] = (variant, cache)
            siblings = self._by_chunk.setdefault(variant.chunk, [])
            siblings.append(variant)
            if len(siblings) > self.most_variants:
                least = min(siblings[:-1], key=lambda other: self.eviction.worth(other.key))
                self.eviction.remove(least.key)
                self._forget(least.key)

    def remove(self, variant: Variant) -> None:
        with self._lock:
            self.eviction.remove(variant.key)
            self._forget(variant.key)

    def _forget(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        chunk = held[0].chunk
        left = [variant for variant in self._by_chunk[chunk] if variant.key != key]
        if left:
            self._by_chunk[chunk] = left
        else:
            del self._by_chunk[chunk]
