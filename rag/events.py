"""What a running question says about itself; `Pipeline.stream` yields these in order.

`at` is the question's position in the batch. A consumer that cannot take words back holds provisional ones until a
`Decided` settles them, or the answer is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag.types import Answer, Citation, Dropped, Evidence, Meta, Query, Ranking


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
    """All the evidence the generator will be given, and the sentences of the last ranking it will not."""

    at: int
    evidence: tuple[Evidence, ...]
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrote:
    """A piece of the answer, as the generator writes it; citation markers are still in it.

    One that is not `provisional` says that it and all before it stay.
    """

    at: int
    text: str
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """A trigger was asked whether to retrieve (`rag.trigger`): when, after how many retrievals, what it said and why.

    `queries` are what is retrieved with. The first `settled` characters of the answer will not be taken back.
    """

    at: int
    moment: Literal["asked", "found", "written", "finished"]
    round: int
    retrieve: bool
    why: str
    numbers: Meta
    queries: tuple[Query, ...]
    settled: int


@dataclass(frozen=True, slots=True)
class Retracted:
    """Of the answer so far only the first `keep` characters stay; what follows is written anew."""

    at: int
    keep: int


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence with its markers is complete: a citation of the answer, as `Answered` will have it.

    `written` is how many characters of the answer had been written then; a `Retracted` that keeps fewer takes the
    citation back. Offsets are those of the final text, where markers that name no source are gone.
    """

    at: int
    citation: Citation
    written: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The finished answer: markers checked, citations resolved."""

    at: int
    answer: Answer


Event: TypeAlias = Retrieved | Reranked | Expanded | Compressed | Wrote | Decided | Retracted | Cited | Answered
