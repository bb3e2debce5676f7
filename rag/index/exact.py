"""Exact search: one inner product with every mapped vector, or, after `warm_up`, with those that bounds leave.

`numpy.vecdot` rather than a matrix product or a flat FAISS index: memory is the bound, not arithmetic, so one thread
reads as fast as two and never waits for the other on a busy machine; nothing is copied or loaded; and a row's score is
the same to the last bit in a ranking, in a batch and alone (docs/index-internals.md has the figures).
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from rag.embed.base import Vectors
from rag.index.base import Hits, Mask, Rows, Scores
from rag.index.ranking import best, spread, visible
from rag.index.segments import SegmentedVectors

if TYPE_CHECKING:
    from rag.index.bounds import Bounds

ROWS = 2048  # scored for one query after the other while they are in the processor's cache
WARMED = 8_000  # rows from which bounds pay, behind an encoder that has emptied the caches
QUERIES = 16  # scored together: bounds memory to 16 scores a row


class ExactIndex:
    """Inner product with every vector."""

    def __init__(self, vectors: SegmentedVectors) -> None:
        self.vectors = vectors
        self._bounds: Bounds | None = None

    def warm_up(self) -> None:
        """Make bounds of scores, for questions that may see every chunk: the same hits from a quarter of the bytes."""
        enough = int(np.count_nonzero(self.vectors.live)) >= WARMED
        if self._bounds is None and enough and all(bool(np.isfinite(part).all()) for part in self.vectors.parts):
            from rag.index.bounds import Bounds

            self._bounds = Bounds(self.vectors)

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        bounds = self._bounds
        if bounds is not None and allowed is None and np.isfinite(queries).all():
            return [self._bounded(query, bounds, k) for query in queries]
        return self._scanned(queries, self._all if allowed is None else visible(self.vectors.live, allowed), k)

    def _scanned(self, queries: Vectors, rows: Rows | None, k: int) -> list[Hits]:
        hits: list[Hits] = []
        for start in range(0, len(queries), QUERIES):
            block = queries[start : start + QUERIES]
            hits += [
                self._hits(query, scores, rows, k) for query, scores in zip(block, self._scores(block), strict=True)
            ]
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
        step = max(self.vectors.rows, 1) if len(queries) == 1 else ROWS
        for base, part in self.vectors.blocks():
            for start in range(0, len(part), step):
                some = part[start : start + step]
                for at, query in enumerate(queries):
                    np.vecdot(some, query, out=scores[at, base + start : base + start + len(some)])
        return scores

    def _hits(self, query: Vectors, scores: Scores, rows: Rows | None, k: int) -> Hits:
        seen = scores if rows is None else scores[rows]
        mean, deviation = spread(seen)
        top, top_scores = best(seen, self._numbers if rows is None else rows, k=k)
        return Hits(top, top_scores, mean, deviation, len(seen), partial(score, self.vectors, query, mean))

    def _bounded(self, query: Vectors, bounds: Bounds, k: int) -> Hits:
        rows = bounds.among(query, k=k)
        if rows is None:
            return self._scanned(query[np.newaxis], self._all, k)[0]
        mean, deviation = bounds.spread(query)
        top, top_scores = best(np.vecdot(self.vectors.take(rows), query), rows, k=k)
        return Hits(top, top_scores, mean, deviation, len(bounds.rows), partial(score, self.vectors, query, mean))


def score(vectors: SegmentedVectors, query: Vectors, mean: float, rows: Rows) -> Scores:
    """The query's inner product with any rows; a row of -1 has no vector and scores the mean."""
    scores: Scores = np.vecdot(vectors.take(np.maximum(rows, 0)), query)
    scores[rows < 0] = mean
    return scores
