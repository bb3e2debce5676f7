"""Retrieval from those of several indexes whose descriptions are nearest to the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rag.embed.base import Embedder, Vectors
from rag.retrieve.sources import Sources
from rag.types import Query, Ranking


class RoutedRetriever:
    """The `k` best chunks of the at most `most` sources whose descriptions are as near to the question as the nearest.

    "As near" is within `margin` of the largest cosine: where none stands out, several are searched. Ties go by the
    order in which the sources are named. The trace names the sources and the lead of the first over the second.
    """

    def __init__(self, sources: Sources, embedder: Embedder, *, most: int, margin: float) -> None:
        self.sources = sources
        self.embedder = embedder
        self.most = most
        self.margin = margin
        self._descriptions: Vectors | None = None

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        if self._descriptions is None:
            texts = [source.description for source in self.sources.sources.values()]
            self._descriptions = self.embedder.embed_queries(texts)
        names = list(self.sources.sources)
        cosines = self.embedder.embed_queries([query.text for query in queries]) @ self._descriptions.T
        chosen = [[names[at] for at in nearest(row.tolist(), most=self.most, margin=self.margin)] for row in cosines]
        plan = [[(name, query) for name in found] for found, query in zip(chosen, queries, strict=True)]
        rankings = self.sources.retrieve(plan)
        return [
            replace(ranking, notes={"sources": ", ".join(found), "lead": round(lead(row.tolist()), 4)})
            for ranking, found, row in zip(rankings, chosen, cosines, strict=True)
        ]


def nearest(cosines: Sequence[float], *, most: int, margin: float) -> list[int]:
    """Places of the at most `most` largest values that are within `margin` of the largest, largest first.

    >>> nearest([0.2, 0.5, 0.45, 0.5], most=2, margin=0.1)
    [1, 3]
    """
    order = sorted(range(len(cosines)), key=lambda at: (-cosines[at], at))
    return [at for at in order if cosines[at] >= cosines[order[0]] - margin][:most]


def lead(cosines: Sequence[float]) -> float:
    """How much the largest value is above the second; 0 of a single one."""
    first = np.sort(np.asarray(cosines))[::-1][:2]
    return float(first[0] - first[1]) if len(first) == 2 else 0.0
