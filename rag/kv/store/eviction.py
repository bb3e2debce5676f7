"""Which cache to give up: the one whose frequency times cost by size is lowest (GDSF, Cherkasova, HP Labs 1998).

The clock rises to the priority of what was evicted, so that what was popular once ages. RAGCache (arXiv 2404.12457)
uses the same form for document caches.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass


def priority(*, clock: float, hits: int, work: float, size: int) -> float:
    """``clock + hits * work / size``.

    >>> priority(clock=2.0, hits=3, work=10.0, size=5)
    8.0
    """
    return clock + hits * work / max(size, 1)


@dataclass(slots=True)
class _Held:
    hits: int
    work: float
    size: int
    priority: float


class Gdsf:
    """The bookkeeping of one tier; not thread-safe."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.clock = 0.0
        self.size = 0
        self._held: dict[bytes, _Held] = {}
        self._queue: list[tuple[float, bytes]] = []  # also outdated entries, which are skipped

    def __contains__(self, key: bytes) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def add(self, key: bytes, *, work: float, size: int) -> list[bytes] | None:
        """Take a key in; the keys that had to go for it, or ``None`` if it does not fit at all."""
        if size > self.budget:
            return None
        hits = self.remove(key)
        gone = []
        while self.size + size > self.budget:
            lowest = self._lowest()
            self.clock = self._held[lowest].priority
            self.remove(lowest)
            gone.append(lowest)
        self._held[key] = _Held(hits, work, size, 0.0)
        self.size += size
        self.touch(key)
        return gone

    def touch(self, key: bytes) -> None:
        """Count a use."""
        held = self._held[key]
        held.hits += 1
        held.priority = priority(clock=self.clock, hits=held.hits, work=held.work, size=held.size)
        heapq.heappush(self._queue, (held.priority, key))
        if len(self._queue) > 4 * len(self._held) + 64:
            self._queue = [(entry.priority, name) for name, entry in self._held.items()]
            heapq.heapify(self._queue)

    def remove(self, key: bytes) -> int:
        """Forget a key; how often it was used, 0 if it was not there."""
        held = self._held.pop(key, None)
        if held is None:
            return 0
        self.size -= held.size
        return held.hits

    def worth(self, key: bytes) -> float:
        return self._held[key].priority

    def _lowest(self) -> bytes:
        while True:
            worth, key = heapq.heappop(self._queue)
            held = self._held.get(key)
            if held is not None and held.priority == worth:
                return key
