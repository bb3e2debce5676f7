"""Maximal marginal relevance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError
from rag.types import Query, Ranking, ScoredChunk

if TYPE_CHECKING:
    from rag.embed.base import Vectors
    from rag.resources import Resources


class MmrReranker:
    """Picks again and again the chunk with the largest marginal relevance to the question.

    Works on the index's own vectors, so it runs no model but for the question. Scores fall strictly along the ranking.

    Raises:
        ConfigError: the index holds no vectors.
    """

    def __init__(self, resources: Resources, *, keep: int, relevance: float = 0.7) -> None:
        self.resources = resources
        self.keep = keep
        self.relevance = relevance

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        if not any(rankings):
            return [Ranking() for _ in rankings]
        reader = self.resources.index.reader()
        if reader.dense is None:
            raise ConfigError(
                "ask.rerank: `mmr` compares vectors, the index has none",
                hint="set ingest.index.dense and run `rag ingest` again, or leave `mmr` out",
            )
        questions = self.resources.embedder.embed_queries([query.text for query in queries])
        reranked: list[Ranking] = []
        for question, ranking in zip(questions, rankings, strict=True):
            chunks = [hit.chunk for hit in ranking]
            vectors = reader.vectors(reader.rows_of(chunks))
            picks = marginal_relevance(question, vectors, keep=self.keep, relevance=self.relevance)
            reranked.append(Ranking(tuple(ScoredChunk(chunks[at], score, "mmr") for at, score in picks)))
        return reranked


def marginal_relevance(
    question: NDArray[np.float32], vectors: Vectors, *, keep: int, relevance: float
) -> list[tuple[int, float]]:
    """Pick rows by ``relevance * sim(q, d) - (1 - relevance) * max over picked s of sim(d, s)``, largest first.

    The first pick is the row nearest to the question; ties go to the first row. A score that would not fall is lowered
    to just under the one before, which only happens where vectors point away from each other.
    Carbonell and Goldstein, SIGIR 1998. O(keep * n * d).

    Args:
        question: (d,) float32, unit length.
        vectors: (n, d) float32, unit length.

    Returns:
        At most `keep` pairs of row and score, in the order picked.
    """
    near = vectors @ question  # (n,)
    penalty = np.zeros(len(vectors), dtype=np.float32)
    left = np.ones(len(vectors), dtype=bool)
    picks: list[tuple[int, float]] = []
    last = math.inf
    for turn in range(min(keep, len(vectors))):
        value = near if turn == 0 else relevance * near - (1 - relevance) * penalty
        at = int(np.argmax(np.where(left, value, -np.inf)))
        last = min(float(relevance * near[at] - (1 - relevance) * penalty[at]), math.nextafter(last, -math.inf))
        picks.append((at, last))
        left[at] = False
        similar = vectors @ vectors[at]
        penalty = similar if turn == 0 else np.maximum(penalty, similar)
    return picks
