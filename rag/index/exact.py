"""Exact search: one matrix product over the mapped segments.

NumPy's product rather than a flat FAISS index: no second copy of the vectors in memory, nothing to load, and for one
query several times faster (docs/index-internals.md has the figures).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rag.embed.base import Vectors
from rag.index.base import Hits, Mask, Rows, Scores
from rag.index.ranking import best, spread, visible
from rag.index.segments import SegmentedVectors

QUERIES = 16  # scored at once: bounds memory to 16 scores a row


class ExactIndex:
    """Inner product with every vector."""

    def __init__(self, vectors: SegmentedVectors) -> None:
        self.vectors = vectors

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        """The `k` nearest rows of each query. `Hits.score` computes scores anew, equal but for rounding."""
        rows = self._all if allowed is None else visible(self.vectors.live, allowed)
        hits: list[Hits] = []
        for start in range(0, len(queries), QUERIES):
            block = queries[start : start + QUERIES]
            hits += map(lambda query, scores: self._hits(query, scores, rows, k), block, self._scores(block))
        return hits

    @cached_property
    def _all(self) -> Rows | None:
        return visible(self.vectors.live, None)

    @cached_property
    def _numbers(self) -> Rows:
        return np.arange(self.vectors.rows)

    def _scores(self, queries: Vectors) -> Scores:
        """(queries, rows)."""
        scores = np.empty((len(queries), self.vectors.rows), np.float32)
        for base, part in self.vectors.blocks():
            here = scores[:, base : base + len(part)]
            if len(queries) == 1:
                np.dot(part, queries[0], out=here[0])
            else:
                here[:] = queries @ part.T
        return scores

    def _hits(self, query: Vectors, scores: Scores, rows: Rows | None, k: int) -> Hits:
        seen = scores if rows is None else scores[rows]
        mean, deviation = spread(seen)
        top, top_scores = best(seen, self._numbers if rows is None else rows, k=k)
        return Hits(top, top_scores, mean, deviation, len(seen), lambda asked: score(self.vectors, query, asked, mean))


def score(vectors: SegmentedVectors, query: Vectors, rows: Rows, mean: float) -> Scores:
    """The query's inner product with any rows; a row of -1 has no vector and scores the mean."""
    scores: Scores = vectors.take(np.maximum(rows, 0)) @ query
    scores[rows < 0] = mean
    return scores
