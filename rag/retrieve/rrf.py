"""Reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

from rag.retrieve.lists import clean, combine, weights_for
from rag.types import Ranking


class RrfFuser:
    """The weighted sum of ``1 / (constant + rank)``, ranks from 1; a list that lacks a chunk adds nothing.

    Scores are not used, so they need not be comparable; the sum must not be held against a threshold.
    Cormack, Clarke and Büttcher, SIGIR 2009, with their constant of 60.
    """

    def __init__(self, *, keep: int, constant: int = 60, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.constant = constant
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        lists = clean(rankings)
        parts = [{hit.chunk.key: 1 / (self.constant + rank) for rank, hit in enumerate(hits, 1)} for hits in lists]
        return combine(lists, parts, weights, keep=self.keep, origin="rrf")
