"""A question about a time, taken apart into what is asked and when."""

from __future__ import annotations

from collections.abc import Sequence

from rag.query.base import Rewritten
from rag.text.years import split_off
from rag.types import Query


class Temporal:
    """The question beside itself without its period, so that passages of other words for the time are found as well.

    Active where the question names years in words known here (English: before, after, since, between, in, ...); any
    other question is left alone. The reranker `temporal` then weighs what was found by the period. Temporal question
    decomposition of MRAG, arXiv 2412.15540, by rules instead of a model.
    """

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        made: list[Rewritten] = []
        for query in queries:
            rest, period = split_off(query.text)
            others = (query.rephrased(rest),) if period is not None and rest != query.text else ()
            made.append(Rewritten((query, *others), {"period": _named(period.first, period.last) if period else None}))
        return made


def _named(first: int | None, last: int | None) -> str:
    return f"{'' if first is None else first}-{'' if last is None else last}"
