"""Guided query refinement: the dense question vector, corrected by a second retriever at test time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from rag.errors import ConfigError
from rag.index.base import Hits, Rows
from rag.retrieve.hits import MARGIN, nothing, retrieve
from rag.retrieve.prf import Floats
from rag.retrieve.question_vectors import question_vectors, unit
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.embed.base import Vectors
    from rag.index.base import DenseIndex, Mask, SparseIndex
    from rag.index.reader import Reader
    from rag.resources import Resources

FIRST_DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8
"""Adam's usual constants, arXiv 1412.6980."""


class GqrRetriever:
    """Dense retrieval with a question vector that was moved, by gradient steps, towards what BM25 and it agree on.

    C is the union of both `candidates` best; p = softmax of a retriever's scores over C. The target is the mean of the
    dense p at the start and the sparse p; `steps` of Adam over the vector z minimise KL(target || dense p(z)). `scope`
    ``candidates`` ranks C alone by z, as the paper does; ``index`` searches everything with z.

    Guided query refinement, arXiv 2510.05038. Softmax takes the scale of scores for certainty, so both retrievers'
    scores are divided by their standard deviations over C first (ours; the dense one is that at the start).

    Raises:
        ConfigError: the index holds no vectors or no terms.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        k: int,
        candidates: int,
        steps: int,
        rate: float,
        scope: Literal["candidates", "index"],
    ) -> None:
        self.resources = resources
        self.k = k
        self.candidates = candidates
        self.steps = steps
        self.rate = rate
        self.scope = scope

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        if reader.size == 0:
            return nothing(queries)
        dense, sparse = reader.dense, reader.sparse
        if dense is None or sparse is None:
            raise ConfigError(
                "ask.retrieve: `gqr` needs vectors and terms, the index has not both",
                hint="set ingest.index.dense and ingest.index.sparse and run `rag ingest` again",
            )
        both = dense, sparse
        vectors = question_vectors(queries, self.resources.embedder)

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            words = [queries[at].words for at in positions]
            return self._search(vectors[list(positions)], words, *both, reader, allowed)

        return retrieve(queries, reader, search, k=self.k, origin="gqr")

    def _search(
        self,
        given: Vectors,
        words: Sequence[str],
        dense: DenseIndex,
        sparse: SparseIndex,
        reader: Reader,
        allowed: Mask | None,
    ) -> list[Hits]:
        near = dense.search(given, k=self.candidates, allowed=allowed)
        matching = sparse.search(words, k=self.candidates, allowed=allowed)
        refined = given.astype(np.float64)
        union: list[Rows] = []
        for at, (hits, other) in enumerate(zip(near, matching, strict=True)):
            rows = np.union1d(hits.rows, other.rows)
            union.append(rows)
            if len(rows) > 1 and len(other.rows):  # with no matching term the second retriever has nothing to say
                found = reader.vectors(rows).astype(np.float64)
                second = other.score(rows).astype(np.float64)
                refined[at] = refine(
                    refined[at],
                    found,
                    second / _deviation(second),
                    scale=_deviation(found @ refined[at]),
                    steps=self.steps,
                    rate=self.rate,
                )
        again = dense.search(unit(refined, otherwise=given), k=self.k + MARGIN, allowed=allowed)
        if self.scope == "index":
            return again
        return [_among(rows, hits) for rows, hits in zip(union, again, strict=True)]


def refine(question: Floats, found: Floats, second: Floats, *, scale: float, steps: int, rate: float) -> Floats:
    """The vector z after `steps` of Adam on KL(m || softmax(found @ z / scale)), m as it is at the start.

    Args:
        question: (d,), z at the start.
        found: (n, d), the candidates' vectors.
        second: (n,), the second retriever's scores of the candidates.
    """
    target = (softmax(found @ question / scale) + softmax(second)) / 2
    z = question.copy()
    mean, square = np.zeros_like(z), np.zeros_like(z)
    for step in range(1, steps + 1):
        gradient = found.T @ (softmax(found @ z / scale) - target) / scale
        mean = FIRST_DECAY * mean + (1 - FIRST_DECAY) * gradient
        square = SECOND_DECAY * square + (1 - SECOND_DECAY) * gradient**2
        corrected = np.sqrt(square / (1 - SECOND_DECAY**step)) + TINY
        z = z - rate * mean / (1 - FIRST_DECAY**step) / corrected
    return z


def softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max())
    shares: Floats = raised / raised.sum()
    return shares


def _deviation(scores: Floats) -> float:
    """The population standard deviation; 1 where the scores are all the same and no scale would tell them apart."""
    return float(scores.std()) or 1.0


def _among(rows: Rows, hits: Hits) -> Hits:
    scores = hits.score(rows)
    order = np.lexsort((rows, -scores))
    return Hits(rows[order], scores[order], hits.mean, hits.deviation, hits.size, hits.score)
