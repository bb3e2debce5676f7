"""The protocols of dynamic retrieval: who says when to retrieve, and who says with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from rag.types import Evidence, Meta, Query, Ranking, Scalar, Token

MomentName: TypeAlias = Literal["asked", "found", "written", "finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question was asked; nothing is retrieved or written yet.

    Where no trigger speaks at this moment, the question is retrieved with.
    """

    query: Query
    name: Literal["asked"] = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A retrieval gave `ranking`, as compression will get it. `round` counts retrievals, from 1.

    `elsewhere` if it came from the second source.
    """

    query: Query
    ranking: Ranking
    round: int
    elsewhere: bool = False
    name: Literal["found"] = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A sentence was completed, with the citation markers behind it.

    `draft` is what was accepted before: ``draft + sentence`` is the answer so far, so a sentence may begin with white
    space. The texts of `tokens` together are the sentence; one that reaches over its border is cut. `round` counts the
    retrievals so far. The first sentence written after a retrieval that a sentence gave rise to is accepted unasked, as
    in the papers: else one doubt could eat all rounds.
    """

    query: Query
    draft: str
    sentence: str
    tokens: tuple[Token, ...]
    evidence: tuple[Evidence, ...]
    round: int
    name: Literal["written"] = "written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The generator has ended its answer `draft`; one that abstained has an empty draft."""

    query: Query
    draft: str
    evidence: tuple[Evidence, ...]
    round: int
    abstained: bool = False
    name: Literal["finished"] = "finished"


Moment: TypeAlias = Asked | Found | Written | Finished


COSTS = frozenset({"requests", "prompt_tokens", "completion_tokens"})
"""What asking a language model cost, in `Decision.numbers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a trigger says at a moment, and why.

    Attributes:
        retrieve: whether to retrieve now.
        why: in a few words, for the trace.
        numbers: what it was decided on (a probability, a count, a threshold), for the trace; `COSTS` are counted among
            the costs of the question.
        doubts: code-point ranges of the sentence that are in doubt, for who builds the query.
        queries: texts to retrieve with, where the trigger itself knows them; a query builder may use others.
        keep: how many characters of the draft and its sentence stay. ``None``: at `Written` the draft, without the
            sentence, which is the least that stays; at `Finished` nothing: the answer is written anew.
        found: at `Found`, what of the ranking to go on with, refined or empty; ``None``: all of it.
        elsewhere: retrieve from the second source (``ask.dynamic.elsewhere``).
        stop: with `retrieve` false at `Written`: the answer ends here, after `keep` characters (``None``: with the
            sentence).
    """

    retrieve: bool
    why: str = ""
    numbers: Meta = field(default_factory=dict)
    doubts: tuple[tuple[int, int], ...] = ()
    queries: tuple[str, ...] = ()
    keep: int | None = None
    found: Ranking | None = None
    elsewhere: bool = False
    stop: bool = False


class Trigger(Protocol):
    """Says whether to retrieve. May be asked from many threads; what it learns of one question it must not keep."""

    @property
    def moments(self) -> frozenset[MomentName]:
        """When it is asked; always the same.

        Where it speaks at `Finished`, an answer may be written anew as a whole, so none of it is shown before.
        """
        ...

    @property
    def reads_tokens(self) -> bool:
        """Whether it goes by `Token.logprob` or `Token.entropy`, so that the generator has to ask for them."""
        ...

    def decide(self, moment: Moment) -> Decision:
        """The decision at one of its moments.

        Raises:
            BackendError, ModelError: what it asks is out of reach (`CountsUnavailableError`), or cannot take so long a
                text. The loop counts it and follows ``ask.dynamic.on_failure``.
        """
        ...


class QueryBuilder(Protocol):
    """Says what to retrieve with after a decision to retrieve; at `Asked` that is the question, and it is not asked."""

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        """The queries of one more retrieval, made with ``moment.query.rephrased(text)``, which keeps filter and access.

        None: there is nothing to ask for, and nothing is retrieved.
        """
        ...


@runtime_checkable
class SpendingQueryBuilder(QueryBuilder, Protocol):
    """A query builder that asks a language model, and says what that cost."""

    def build_counted(self, moment: Moment, decision: Decision) -> tuple[Sequence[Query], Meta]:
        """As `build`, and what is to be added to `Decision.numbers`: `COSTS`."""
        ...


def joined(numbers: Meta, more: Meta, *, name: str = "") -> dict[str, Scalar]:
    """The numbers of both. Costs are summed; others of `more` that are there already get `name` before theirs.

    >>> joined({"requests": 1, "count": 7}, {"requests": 2, "count": 9}, name="quco")
    {'requests': 3, 'count': 7, 'quco.count': 9}
    """
    found = dict(numbers)
    for key, told in more.items():
        had = found.get(key)
        if key in COSTS and isinstance(had, int) and isinstance(told, int):
            found[key] = had + told
        else:
            found[f"{name}.{key}" if key in found else key] = told
    return found
