"""Weighted sum of min-max scaled scores."""

from __future__ import annotations

from collections.abc import Sequence

from rag.retrieve.lists import Key, clean, combine, weights_for
from rag.types import Ranking, ScoredChunk


class WeightedFuser:
    """The weighted sum of ``(score - min) / (max - min)`` of each list; a list that lacks a chunk adds nothing.

    All scores of a list equal: 1 for each. The scale depends on a list's depth, so the depth belongs to the tuning.
    """

    def __init__(self, *, keep: int, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        lists = clean(rankings)
        return combine(lists, [_scaled(hits) for hits in lists], weights, keep=self.keep, origin="weighted")


def _scaled(hits: Sequence[ScoredChunk]) -> dict[Key, float]:
    if not hits:
        return {}
    low, high = min(hit.score for hit in hits), max(hit.score for hit in hits)
    if low == high:
        return {hit.chunk.key: 1.0 for hit in hits}
    return {hit.chunk.key: (hit.score - low) / (high - low) for hit in hits}
