"""What approximate indexes share: candidates from a library, everything after that exact.

Candidates are scored from the stored vectors, so that scores are cosines as in exact search, and forbidden and deleted
rows are taken out here, whatever the library returned. Where few rows are allowed or too few candidates are left, the
search is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from rag.embed.base import Vectors
from rag.index.base import Hits, Mask, Rows
from rag.index.exact import ExactIndex, score
from rag.index.ranking import best, spread
from rag.index.segments import SegmentedVectors

EXACT_ROWS = 20_000
"""Up to so many allowed rows all are scored: a few milliseconds, and never a miss."""
EXACT_SHARE = 0.125
"""From this share of all rows on, reading every vector in order is faster than picking the allowed ones."""
SAMPLE = 4096  # rows whose scores give mean and deviation: both within about 2 % of a deviation
SEED = 20_240_607


class Candidates(Protocol):
    """A library's index over the live rows of some vectors."""

    def find(self, queries: Vectors, *, k: int, allowed: Mask) -> Sequence[Rows]:
        """Some `k` rows near each query, in any order; fewer, forbidden and repeated ones do no harm."""
        ...


class ApproximateIndex:
    """A `DenseIndex` that asks `candidates` where scoring every allowed row would take too long."""

    def __init__(self, vectors: SegmentedVectors, candidates: Candidates) -> None:
        self.vectors = vectors
        self.candidates = candidates

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        mask = self.vectors.live if allowed is None else allowed & self.vectors.live
        rows = self._live if allowed is None else np.flatnonzero(mask)
        if len(rows) <= max(EXACT_ROWS, k):
            return self._exactly(queries, mask, rows, k)
        sample = self._sample if allowed is None else self._drawn(rows)
        found = self.candidates.find(queries, k=k, allowed=mask)
        hits: list[Hits] = []
        for query, some in zip(queries, found, strict=True):
            mine = np.unique(some[mask[some]])
            if len(mine) < k:
                hits += self._exactly(query[np.newaxis], mask, rows, k)
                continue
            mean, deviation = spread(np.vecdot(sample, query))
            top, scores = best(score(self.vectors, query, mean, mine), mine, k=k)
            hits.append(Hits(top, scores, mean, deviation, len(rows), partial(score, self.vectors, query, mean)))
        return hits

    def _exactly(self, queries: Vectors, mask: Mask, rows: Rows, k: int) -> list[Hits]:
        if len(rows) >= EXACT_SHARE * self.vectors.rows:
            return ExactIndex(self.vectors).search(queries, k=k, allowed=mask)
        picked, hits = self.vectors.take(rows), list[Hits]()
        for query in queries:
            scores = np.vecdot(picked, query)
            mean, deviation = spread(scores)
            top, top_scores = best(scores, rows, k=k)
            hits.append(Hits(top, top_scores, mean, deviation, len(rows), partial(score, self.vectors, query, mean)))
        return hits

    @cached_property
    def _live(self) -> Rows:
        return np.flatnonzero(self.vectors.live)

    @cached_property
    def _sample(self) -> Vectors:
        return self._drawn(self._live)

    def _drawn(self, rows: Rows) -> Vectors:
        """Vectors of a fixed random sample, with repetition."""
        return self.vectors.take(rows[np.random.default_rng(SEED).integers(len(rows), size=SAMPLE)])
