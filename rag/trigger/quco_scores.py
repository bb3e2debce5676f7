"""What QuCo-RAG decides on counts (arXiv 2512.19134): rare entities before writing, unheard-of pairs while writing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag.index.counts import CorpusCounts, Count
from rag.text.dates import spellings
from rag.text.triples import Triple

Aggregate: TypeAlias = Literal["mean", "min"]

LEAST_PAIRS = 1
"""A head and a tail that occur together less often are in doubt."""

_UNSAID = re.compile(
    r"\b(?:not (?:mentioned|stated|specified|provided|known|given|available)|no (?:information|mention|record)|unknown"
    r"|(?:do|does|did) not (?:say|mention|state|specify|provide)|cannot (?:be )?(?:determine|answer|find)\w*)\b",
    re.IGNORECASE,
)
_FINAL = re.compile(r"\bthe (?:final )?answer is\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rarity:
    """How often a question's entities occur: `value` is ``None`` where no count is known, which is not rare."""

    value: float | None
    rare: bool


def rarity(counts: Sequence[int | None], *, tau: float, aggregate: Aggregate = "mean") -> Rarity:
    """Whether a question's entities are too rare to answer without retrieval: their mean count is below `tau`.

    Unknown counts (``None``) are skipped. The mean is the authors' choice, and one frequent entity hides a rare one;
    ``min`` does not let it.

    >>> rarity([5_000_000, 3], tau=1000)
    Rarity(value=2500001.5, rare=False)
    >>> rarity([5_000_000, 3], tau=1000, aggregate="min")
    Rarity(value=3.0, rare=True)
    """
    known = [count for count in counts if count is not None]
    if not known:
        return Rarity(None, rare=False)
    value = float(min(known)) if aggregate == "min" else sum(known) / len(known)
    return Rarity(value, rare=value < tau)


@dataclass(frozen=True, slots=True)
class Flag:
    """A statement in doubt, and the count that put it there: of its pair, or of its head where it has no tail."""

    triple: Triple
    count: Count

    @property
    def query(self) -> str:
        """What to look up: the head and the relation, without the tail that may be wrong."""
        return f"{self.triple.head} {self.triple.relation}"


def flagged(triples: Sequence[Triple], counts: CorpusCounts, *, window: int = 1000, least_head: int = 20) -> list[Flag]:
    """The statements that the corpus does not bear out.

    With a tail: head and tail never occur together within `window` words; a date may be written otherwise (ours).
    Without: the head occurs less than `least_head` times. Zero of a count that is not exact says nothing.

    Args:
        least_head: negative: statements without a tail are never in doubt.

    Raises:
        CountsUnavailableError: a count cannot be had.
    """
    found: list[Flag] = []
    for triple in triples:
        if triple.tail is None:
            count, least = counts.count(triple.head), least_head
        else:
            count, least = _together(triple.head, triple.tail, counts, window=window), LEAST_PAIRS
        if count.exact and count.value < least:
            found.append(Flag(triple, count))
    return found


def _together(head: str, tail: str, counts: CorpusCounts, *, window: int) -> Count:
    """How often both occur near each other, a date in whichever way it is written: the first way that occurs."""
    found = [Count(0)]
    for form in spellings(tail):
        found.append(counts.cooccur(head, form, window=window))
        if found[-1].value:
            return found[-1]
    return Count(0, exact=all(count.exact for count in found))


def says_nothing(sentence: str) -> bool:
    """Whether a sentence says that something is not known: what follows it is no answer (English)."""
    return _UNSAID.search(sentence) is not None


def is_final(sentence: str) -> bool:
    """Whether a sentence gives the answer in so many words: "So the answer is Paris." (English)."""
    return _FINAL.search(sentence) is not None
