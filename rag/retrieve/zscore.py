"""Sum of standardised scores, over the whole collection or over what was retrieved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.retrieve.candidates import Candidates
from rag.retrieve.lists import Key, clean, combine, mean_and_deviation, weights_for
from rag.types import Ranking, ScoredChunk


class CollectionZScoreFuser:
    """The weighted sum of ``(score - mean) / sd`` with mean and population sd over all chunks the query may see.

    Every candidate of the union gets every retriever's true score, so no list has gaps. A retriever that tells no chunk
    apart has deviation 0 and adds 0; one to which a chunk stands out says so in its own unit, however few it retrieved.
    That is why this holds up where one retriever is blind and rank fusion averages the good ranking away.

    Raises:
        ConfigError: a ranking has no background, as after a foreign retriever.
    """

    def __init__(self, *, keep: int, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        candidates = Candidates.of(rankings, use="zscore")
        sums = (np.array(weights)[:, np.newaxis] * candidates.standardised()).sum(axis=0)
        return candidates.best(sums, keep=self.keep, origin="zscore")


class ListZScoreFuser:
    """The weighted sum of ``(score - mean) / sd`` with mean and population sd of each list; 0 where sd is 0.

    A list that lacks a chunk adds the list's smallest value: 0 would say that the chunk is average.
    """

    def __init__(self, *, keep: int, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        lists = clean(rankings)
        keys = {hit.chunk.key for hits in lists for hit in hits}
        parts: list[dict[Key, float]] = []
        for hits in lists:
            given = _of_list(hits)
            lowest = min(given.values(), default=0.0)
            parts.append({key: given.get(key, lowest) for key in keys})
        return combine(lists, parts, weights, keep=self.keep, origin="zscore")


def _of_list(hits: Sequence[ScoredChunk]) -> dict[Key, float]:
    mean, deviation = mean_and_deviation([hit.score for hit in hits])
    if deviation == 0:
        return {hit.chunk.key: 0.0 for hit in hits}
    return {hit.chunk.key: (hit.score - mean) / deviation for hit in hits}
