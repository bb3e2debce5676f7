"""Distribution-based score fusion."""

from __future__ import annotations

from collections.abc import Sequence

from rag.retrieve.lists import Key, clean, combine, mean_and_deviation, weights_for
from rag.types import Ranking, ScoredChunk


class DbsfFuser:
    """The weighted sum of ``(score - (mean - 3 sd)) / (6 sd)``, population sd of each list; 0 where sd is 0.

    A list that lacks a chunk adds nothing. After M. Mazzeschi, "Distribution-Based Score Fusion", 2023.
    """

    def __init__(self, *, keep: int, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        lists = clean(rankings)
        return combine(lists, [_scaled(hits) for hits in lists], weights, keep=self.keep, origin="dbsf")


def _scaled(hits: Sequence[ScoredChunk]) -> dict[Key, float]:
    mean, deviation = mean_and_deviation([hit.score for hit in hits])
    if deviation == 0:
        return {hit.chunk.key: 0.0 for hit in hits}
    return {hit.chunk.key: (hit.score - (mean - 3 * deviation)) / (6 * deviation) for hit in hits}
