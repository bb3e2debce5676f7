"""Reranking by late interaction: every token of the question looks for its best match in the chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.models.pruning import early_exit, unpruned
from rag.models.token_encoder import TokenVectors
from rag.rerank.reorder import is_sure, reordered, unchanged
from rag.rerank.token_matches import TokenMatches
from rag.types import Query, Ranking, Scalar

Floats = NDArray[np.float64]


class LateInteractionReranker:
    """MaxSim over token vectors (arXiv 2004.12832), alone or on top of the first stage's scores.

    With `weight`, the score is ``first / sd(first) + weight * maxsim / sd(maxsim)``, with population deviations over
    the candidates scored before any early exit; without, MaxSim alone. With `match`, a question token counts by how few
    of these candidates match it (`rarity`): all of them are about the question, and what nearly all say tells none
    apart.

    Two ways to score fewer candidates, both of "Multivector reranking in the era of strong first-stage retrievers" (as
    in its code, vectorium): `prune` leaves out those whose first-stage score lies clearly below that of the last one
    kept, `patience` stops when so many in a row did not get among the best `keep`. Those left out follow behind.
    """

    def __init__(
        self,
        tokens: TokenMatches,
        *,
        keep: int,
        depth: int = 50,
        weight: float | None = 0.5,
        match: float | None = None,
        prune: float | None = None,
        patience: int | None = None,
        margin: float | None = None,
    ) -> None:
        self.tokens = tokens
        self.keep = keep
        self.depth = depth
        self.weight = weight
        self.match = match
        self.prune = prune
        self.patience = patience
        self.margin = margin

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        unsure = [at for at, ranking in enumerate(rankings) if not is_sure(ranking, self.margin)]
        vectors = dict(zip(unsure, self.tokens.questions([queries[at].text for at in unsure]), strict=True))
        return [
            self._one(vectors[at], ranking) if at in vectors else unchanged(ranking, keep=self.keep, why="margin")
            for at, ranking in enumerate(rankings)
        ]

    def _one(self, query: TokenVectors, ranking: Ranking) -> Ranking:
        hits = ranking.hits[: self.depth]
        first = np.array([hit.score for hit in hits])
        count = len(hits) if self.prune is None else unpruned(first, keep=self.keep, share=self.prune)
        at_once = count if self.patience is None else min(self.keep, count)

        def matches(start: int, end: int) -> Floats:
            return self.tokens.of(query, [hit.chunk for hit in hits[start:end]])

        found = matches(0, at_once)
        counts = np.ones(len(query)) if self.match is None else rarity(found, at_least=self.match)
        similar = found @ counts
        scales = _deviation(first[:at_once]), _deviation(similar)

        def score(start: int, end: int) -> Floats:
            return self._combined(first[start:end], matches(start, end) @ counts, scales)

        scores = self._combined(first[:at_once], similar, scales).tolist()
        if self.patience is not None:
            scores = early_exit(scores, score, count=count, keep=self.keep, patience=self.patience)
        notes: dict[str, Scalar] = {"scored": len(scores), "pruned": len(hits) - count, "exited": count - len(scores)}
        return reordered(ranking, dict(enumerate(scores)), keep=self.keep, origin="late-interaction", notes=notes)

    def _combined(self, first: Floats, similar: Floats, scales: tuple[float, float]) -> Floats:
        if self.weight is None:
            return similar
        return first / scales[0] + self.weight * similar / scales[1]


def rarity(matches: Floats, *, at_least: float) -> Floats:
    """How much each question token tells the candidates apart: ``ln(1 + (N - n + .5) / (n + .5))``.

    N candidates have tokens, n of them match this one with a cosine of `at_least`: BM25's inverse document frequency,
    with vectors for words and the candidates for a collection.

    Args:
        matches: (candidates, question tokens), rows of NaN for candidates without tokens.

    >>> rarity(np.array([[0.9, 0.9], [0.9, 0.1], [0.8, 0.2]]), at_least=0.5).round(3).tolist()  # ln(8/7), ln(8/3)
    [0.134, 0.981]
    """
    size = int(np.count_nonzero(~np.isnan(matches).any(axis=1)))
    matching = np.count_nonzero(matches >= at_least, axis=0)
    weights: Floats = np.log1p((size - matching + 0.5) / (matching + 0.5))
    return weights


def _deviation(values: Floats) -> float:
    """The population deviation of the finite values; 1 where they do not differ, so that dividing changes nothing."""
    finite = values[np.isfinite(values)]
    spread = float(finite.std()) if len(finite) else 0.0
    return spread if spread > 0 else 1.0
