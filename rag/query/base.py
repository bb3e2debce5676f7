"""The transform stage: one question in, one or more retrieval queries out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rag.types import Query, Scalar


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What one query became: at least one query, and `notes` for the trace (malformed replies, tokens spent)."""

    queries: tuple[Query, ...]
    notes: Mapping[str, Scalar] = field(default_factory=dict)


class QueryTransform(Protocol):
    """Rewrites queries; what it gives for each has the filter and the principals of that query.

    The first of the queries is the question itself, which reranking and compression go by: unchanged, or made to stand
    alone. The others are further ways to search for it, fused by their weights.
    """

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]: ...


def together(notes: Iterable[Mapping[str, Scalar]]) -> dict[str, Scalar]:
    """The notes on several queries of one question: numbers are summed, of everything else the last is kept.

    >>> together([{"malformed": 0, "arm": "none"}, {"malformed": 1, "arm": "expand"}])
    {'malformed': 1, 'arm': 'expand'}
    """
    found: dict[str, Scalar] = {}
    for each in notes:
        for name, value in each.items():
            known = found.get(name)
            if isinstance(value, int | float) and isinstance(known, int | float) and not isinstance(value, bool):
                found[name] = known + value
            else:
                found[name] = value
    return found
