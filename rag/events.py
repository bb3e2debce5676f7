"""What a running question says about itself; `Pipeline.stream` yields these in order.

`at` is the question's position in the batch. A consumer that cannot take words back prints up to the last `Wrote`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from rag.types import Answer, Dropped, Evidence, Query, Ranking


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The fused ranking for the question's queries."""

    at: int
    queries: tuple[Query, ...]
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class Reranked:
    at: int
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class Expanded:
    """The ranking after an expander: wider stretches of the documents, some of several chunks."""

    at: int
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class Compressed:
    """The evidence the generator will be given, and the sentences it will not."""

    at: int
    evidence: tuple[Evidence, ...]
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrote:
    """A piece of the answer, as the generator writes it; citation markers are still in it."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The finished answer: markers checked, citations resolved."""

    at: int
    answer: Answer


Event: TypeAlias = Retrieved | Reranked | Expanded | Compressed | Wrote | Answered
