"""Reranking by a trained head: one weight for each sign that speaks for a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.models.linear_head import LinearHead
from rag.rerank.reorder import is_sure, reordered, unchanged
from rag.rerank.signs import SIGNS, Signs
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.rerank.token_matches import TokenMatches
    from rag.resources import Resources

KIND = "reranking head"
Floats = NDArray[np.float64]


class TrainedReranker:
    """Orders the first `depth` candidates by ``first / sd(first) + Σ weight * sign`` (`rag.rerank.signs`).

    The deviation is that of the candidates' scores. A head without weights changes no order. The weights are those of a
    file that `rag train reranker` made; MaxSim is computed only where the head weighs it.

    Raises (at first use):
        ModelNotFoundError, ModelError: as `LinearHead.load`.
        ConfigError: as `Signs`.
    """

    def __init__(
        self,
        resources: Resources,
        tokens: TokenMatches,
        *,
        head: Path,
        keep: int,
        depth: int = 50,
        margin: float | None = None,
    ) -> None:
        self.resources = resources
        self.tokens = tokens
        self.head = head
        self.keep = keep
        self.depth = depth
        self.margin = margin

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [self._one(query, ranking) for query, ranking in zip(queries, rankings, strict=True)]

    def _one(self, query: Query, ranking: Ranking) -> Ranking:
        if is_sure(ranking, self.margin):
            return unchanged(ranking, keep=self.keep, why="margin")
        hits = ranking.hits[: self.depth]
        head = self._loaded
        signs = Signs(self.resources, self.tokens).of(query, [hit.chunk for hit in hits], names=head.signs)
        scores = head.scores(first_stage([hit.score for hit in hits]), signs)
        return reordered(
            ranking, dict(enumerate(scores.tolist())), keep=self.keep, origin="trained", notes={"scored": len(hits)}
        )

    @cached_property
    def _loaded(self) -> LinearHead:
        return LinearHead.load(self.head, kind=KIND, identity=self.resources.embedder.identity, known=SIGNS)


def first_stage(scores: Sequence[float]) -> Floats:
    """(n,) the scores by their deviation; as they are where they do not differ.

    >>> first_stage([5.0, 3.0]).tolist(), first_stage([2.0, 2.0]).tolist()
    ([5.0, 3.0], [2.0, 2.0])
    """
    values = np.array(scores, np.float64)
    return values / values.std() if values.min() < values.max() else values
