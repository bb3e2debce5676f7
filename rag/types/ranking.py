"""Questions, and what retrieval finds for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Literal

from rag.types.document import Chunk, Meta, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question as the retrievers see it.

    `filter` is a condition on metadata (`rag.index.filters`). `principals` are the identities of who asks: ``None``
    applies no access control (a local, trusted caller); any set, even an empty one, returns only documents whose access
    list names one of them.

    What a transform adds for one kind of retrieval alone: `keywords` are searched beside the words of `text`;
    `passages` are imagined answers, whose vectors are averaged with that of `text`. They are never shown as evidence.
    `weight` is how much the query counts beside the others of its question when rankings are fused. `history` holds the
    earlier (question, answer) turns.
    """

    text: str
    filter: Condition | None = None
    principals: frozenset[str] | None = None
    keywords: str = ""
    passages: tuple[str, ...] = ()
    weight: float = 1.0
    history: tuple[tuple[str, str], ...] = ()

    def rephrased(self, text: str, *, weight: float = 1.0) -> Query:
        """Another text for the same asker, without what was made for this one; `weight` counts on top of its own."""
        return replace(self, text=text, keywords="", passages=(), weight=self.weight * weight)

    @property
    def words(self) -> str:
        """What sparse retrieval looks for."""
        return f"{self.text} {self.keywords}" if self.keywords else self.text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condition:
    """A typed condition on metadata: a comparison of one `field`, or a combination of `parts`.

    ``eq`` and ``in`` compare with `values`; ``range`` is ``values[0] <= x <= values[1]`` with ``None`` for an open end;
    ``exists`` asks for a value that is not null. ``contains`` asks for one item of a text that lists several with
    ``; `` between them. Values of another type than the stored one never match, so conditions on ``1`` and on ``True``
    are different, though Python holds these equal.
    """

    op: Literal["eq", "in", "range", "exists", "contains", "and", "or", "not"]
    field: str = ""
    values: tuple[Scalar, ...] = ()
    parts: tuple[Condition, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk and its score, higher is better.

    `origin` is who scored: scores of different origins are never compared.
    """

    chunk: Chunk
    score: float
    origin: str


@dataclass(frozen=True, slots=True)
class Background:
    """How one query's scores are distributed over the whole collection it was allowed to see.

    `mean` and `deviation` (population) are over all `size` chunks, those that score zero included; `score` gives this
    retriever's score of any chunks of the collection. With it a fuser can standardise scores and complete the lists.
    """

    mean: float
    deviation: float
    size: int
    score: Callable[[Sequence[Chunk]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Chunks best first, equal scores in the order of chunk ids, no chunk twice.

    `weight` is that of the query that was retrieved for; fusers multiply what the ranking adds by it. `notes` is what
    its maker has to say about it in the trace: how many were scored, why nothing was.
    """

    hits: Sequence[ScoredChunk] = ()
    background: Background | None = None
    weight: float = 1.0
    notes: Meta = field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[ScoredChunk]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, at: int) -> ScoredChunk:
        return self.hits[at]

    def weighing(self, weight: float) -> Ranking:
        """The same with another `weight`."""
        return self if weight == self.weight else replace(self, weight=weight)

    @staticmethod
    def of(scored: Sequence[ScoredChunk], *, keep: int | None = None, background: Background | None = None) -> Ranking:
        """Sort by falling score, then chunk id; keep the first `keep`."""
        score = attrgetter("score")
        ordered = sorted(scored, key=score, reverse=True)
        # Ids are hashes of texts: only equal scores are worth making them.
        if any(one.score == other.score for one, other in pairwise(ordered)):
            ordered = [hit for _, run in groupby(ordered, score) for hit in _by_id(list(run))]
        return Ranking(tuple(ordered[:keep]), background)


def _by_id(tied: list[ScoredChunk]) -> list[ScoredChunk]:
    return tied if len(tied) == 1 else sorted(tied, key=lambda hit: hit.chunk.id)
