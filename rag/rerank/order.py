"""The order in which a language model reads: what is in the middle of a long context is read least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rag.types import Query, Ranking

Layout = Literal["ends", "last"]


class OrderReranker:
    """Lays out the best `keep` for reading: ``ends`` puts the best first, the second best last, and so on inwards.

    "Lost in the middle" (Liu et al., arXiv 2307.03172); the layout is that of "Long-Context LLMs meet RAG" (Jin et al.,
    arXiv 2410.05983). ``last`` puts the best last, next to the question. Scores stay those of the ranking, so they do
    not fall along it, and a budget that cuts later still drops the lowest.
    """

    def __init__(self, *, keep: int, layout: Layout = "ends") -> None:
        self.keep = keep
        self.layout: Layout = layout

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        arrange = ends if self.layout == "ends" else last
        return [Ranking(tuple(ranking[at] for at in arrange(min(self.keep, len(ranking))))) for ranking in rankings]


def ends(count: int) -> list[int]:
    """The positions of a ranking in reading order: odd ranks from the start inwards, even ranks from the end.

    >>> ends(5), ends(4)
    ([0, 2, 4, 3, 1], [0, 2, 3, 1])
    """
    return [*range(0, count, 2), *reversed(range(1, count, 2))]


def last(count: int) -> list[int]:
    """The positions of a ranking in reading order, the best last."""
    return list(reversed(range(count)))
