"""The protocols of dynamic retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from rag.types import Evidence, Meta, Query, Ranking, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question was asked; nothing is retrieved or written yet."""

    query: Query
    name: Literal["asked"] = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A retrieval gave `ranking`; nothing is written from it yet. `round` counts retrievals, from 1."""

    query: Query
    ranking: Ranking
    round: int
    name: Literal["found"] = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A sentence was completed. `draft` is what was accepted before it, `tokens` are the sentence's."""

    query: Query
    draft: str
    sentence: str
    tokens: tuple[Token, ...]
    evidence: tuple[Evidence, ...]
    round: int
    name: Literal["written"] = "written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The generator has ended its answer `draft`."""

    query: Query
    draft: str
    evidence: tuple[Evidence, ...]
    round: int
    name: Literal["finished"] = "finished"


Moment: TypeAlias = Asked | Found | Written | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a trigger says at a moment, and why.

    Attributes:
        retrieve: whether to retrieve now.
        why: in a few words, for the trace.
        numbers: what it was decided on (a probability, a count, a threshold), for the trace.
        doubts: code-point ranges of the sentence that are in doubt, for who builds the query.
        queries: texts to retrieve with, where the trigger itself knows them; a query builder may use others.
        keep: how many characters of the draft and its sentence stay; ``None``: the draft, without the sentence.
    """

    retrieve: bool
    why: str = ""
    numbers: Meta = field(default_factory=dict)
    doubts: tuple[tuple[int, int], ...] = ()
    queries: tuple[str, ...] = ()
    keep: int | None = None


class Trigger(Protocol):
    """Says whether to retrieve. May be asked from many threads; what it learns of one question it must not keep.

    Raises:
        BackendError, CountsUnavailable: what it asks is out of reach. The loop notes it and follows its policy.
    """

    def decide(self, moment: Moment) -> Decision | None:
        """The decision at a moment; ``None`` where it has nothing to say at this kind of moment."""
        ...


class QueryBuilder(Protocol):
    """Says what to retrieve with."""

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        """The queries of one more retrieval; none: there is nothing to ask for, and nothing is retrieved."""
        ...
