"""Pseudo relevance feedback for dense retrieval: search again with a vector moved towards what was found first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError
from rag.retrieve.hits import MARGIN, nothing, retrieve
from rag.retrieve.question_vectors import question_vectors, unit
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask
    from rag.resources import Resources

Floats: TypeAlias = NDArray[np.float64]
Refine: TypeAlias = Callable[[Floats, Floats], Floats]
"""From a question's vector (d,) and those of the chunks found first (n, d), best first, n > 0, to a new vector (d,)."""


class VectorFeedback:
    """The `k` chunks nearest to each query's vector after `refine` has moved it towards the `first` nearest chunks.

    The new vector is scaled to unit length, so that scores stay cosines. Only chunks that filter and principals allow
    are ever looked at. What the first search misses altogether, feedback seldom mends.

    Raises:
        ConfigError: the index holds no vectors.
    """

    def __init__(self, resources: Resources, *, k: int, first: int, refine: Refine, origin: str) -> None:
        self.resources = resources
        self.k = k
        self.first = first
        self.refine = refine
        self.origin = origin

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        if reader.size == 0:
            return nothing(queries)
        index = reader.dense
        if index is None:
            raise ConfigError(
                f"ask.retrieve: `{self.origin}` needs vectors, the index has none",
                hint="set ingest.index.dense and run `rag ingest` again, or retrieve with `sparse` alone",
            )
        vectors = question_vectors(queries, self.resources.embedder)

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            given = vectors[list(positions)]
            refined = given.astype(np.float64)
            for at, hits in enumerate(index.search(given, k=self.first, allowed=allowed)):
                if len(hits.rows):
                    refined[at] = self.refine(refined[at], reader.vectors(hits.rows).astype(np.float64))
            return index.search(unit(refined, otherwise=given), k=self.k + MARGIN, allowed=allowed)

        return retrieve(queries, reader, search, k=self.k, origin=self.origin)


def average(question: Floats, found: Floats) -> Floats:
    """The mean of the question and all that was found, each counting the same.

    Pseudo relevance feedback with vectors, Li et al., TOIS 2023, arXiv 2108.11044.

    >>> average(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 1.0]])).round(4).tolist()
    [0.6667, 0.6667]
    """
    mean: Floats = np.vstack([question[None, :], found]).mean(axis=0)
    return mean


def rocchio(question: Floats, found: Floats, *, feedback: int, alpha: float, beta: float, gamma: float) -> Floats:
    """``alpha * question + beta * mean of the first - gamma * mean of the last`` `feedback` of what was found.

    The last are only those that are not among the first. Rocchio, 1971; weights over vectors as in arXiv 2108.11044.

    >>> found = np.array([[0.0, 1.0], [1.0, 1.0]])
    >>> rocchio(np.array([1.0, 0.0]), found, feedback=2, alpha=0.4, beta=0.6, gamma=0.0).round(4).tolist()
    [0.7, 0.6]
    """
    moved: Floats = alpha * question + beta * found[:feedback].mean(axis=0)
    last = found[feedback:][-feedback:]
    if gamma and len(last):
        moved = moved - gamma * last.mean(axis=0)
    return moved
