"""Which sentences make an answer together: the best, and what adds to it.

A further sentence is quoted where it is about as good as the best, or nearly as good and has words of the question that
what is quoted lacks; where the best one's passage goes on with such words; and where its passage has a title that what
is quoted names ("... directed by Ann Lee." and the first sentence about Ann Lee).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.generate.select import Candidate
from rag.types import Prompt

if TYPE_CHECKING:
    from rag.generate.terms import QuestionTerms

AS_GOOD = 0.8
"""What share of the best sentence's score a further one must have."""

NEARLY_AS_GOOD = 0.7
"""What share it must have where it adds to the question's words."""

ADDS = 0.1
"""What share of the question's words, by weight, a sentence that is nearly as good must add."""

COMPLETES = 0.2
"""What share a sentence must add to be quoted for that alone."""

DUPLICATE_COSINE = 0.9

_IN_BRACKETS = re.compile(r"\s*\([^()]*\)")


def choose(ranked: Sequence[Candidate], prompt: Prompt, terms: QuestionTerms, *, most: int) -> list[Candidate]:
    """At most `most` of `ranked`, which is best first and not empty. Fewer are the first ones of more."""
    good = [each for each in ranked if each.score >= NEARLY_AS_GOOD * ranked[0].score]
    chosen = _adding(distinct(_telling(good)), terms)
    if len(chosen) < most:
        chosen = completed(chosen, ranked, terms, most=most)
    if len(chosen) < most:
        chosen = linked(chosen, ranked, prompt, most=most)
    return chosen[:most]


def distinct(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Best first, each saying something else; one that says the same as a better one only adds its source to it."""
    kept: list[Candidate] = []
    for candidate in ranked:
        same = next((at for at, better in enumerate(kept) if _same(candidate, better)), None)
        if same is None:
            kept.append(candidate)
            continue
        better, number = kept[same], candidate.quote.evidence
        if candidate.quote.shown == better.quote.shown and number not in (better.quote.evidence, *better.also_in):
            kept[same] = replace(better, also_in=(*better.also_in, number))
    return kept


def completed(
    chosen: Sequence[Candidate], ranked: Sequence[Candidate], terms: QuestionTerms, *, most: int
) -> list[Candidate]:
    """`chosen` and, up to `most`, what the best one's passage goes on to say with words of the question it lacks.

    "Options are granted yearly. They vest over four years." answers when options vest with its second sentence, which
    alone does not say what it is about.
    """
    kept = list(chosen)
    best = chosen[0].quote
    for candidate in ranked:
        quote = candidate.quote
        if len(kept) >= most or _is_in(candidate, kept) or quote.evidence != best.evidence or quote.start < best.start:
            continue
        said = " ".join(each.quote.text for each in kept)
        if terms.coverage(f"{said} {quote.text}") - terms.coverage(said) >= COMPLETES:
            kept.append(candidate)
    return kept


def linked(chosen: Sequence[Candidate], ranked: Sequence[Candidate], prompt: Prompt, *, most: int) -> list[Candidate]:
    """`chosen` and, up to `most`, the best sentence of each passage with a title that `chosen` names.

    A title is the first heading over a passage, without what it has in brackets. The question's own are no links.
    """
    kept = list(chosen)
    quoted = {each.quote.evidence for each in kept}
    for candidate in ranked:
        number = candidate.quote.evidence
        headings = prompt.evidence[number - 1].location.headings
        if len(kept) >= most or number in quoted or not headings:
            continue
        title = _IN_BRACKETS.sub("", headings[0])
        if title not in prompt.question and any(_names(each.quote.text, title) for each in kept):
            kept.append(candidate)
            quoted.add(number)
    return kept


def _telling(good: Sequence[Candidate]) -> list[Candidate]:
    """Without the rows of a table that have less of the question than another row that is good."""
    most: dict[int, float] = {}
    for each in good:
        if each.quote.row:
            most[each.quote.evidence] = max(each.coverage, most.get(each.quote.evidence, 0.0))
    return [each for each in good if not each.quote.row or each.coverage >= most[each.quote.evidence]]


def _adding(ranked: Sequence[Candidate], terms: QuestionTerms) -> list[Candidate]:
    """The best, and those that are as good or add to the question's words."""
    kept = list(ranked[:1])
    said = ranked[0].terms
    for each in ranked[1:]:
        if each.score >= AS_GOOD * ranked[0].score or terms.share(said | each.terms) - terms.share(said) >= ADDS:
            kept.append(each)
            said |= each.terms
    return kept


def _same(one: Candidate, other: Candidate) -> bool:
    if one.quote.shown == other.quote.shown:
        return True
    if one.vector is None or other.vector is None:
        return False
    return float(one.vector @ other.vector) > DUPLICATE_COSINE


def _is_in(candidate: Candidate, kept: Sequence[Candidate]) -> bool:
    return any(candidate.quote == each.quote for each in kept)


def _names(text: str, title: str) -> bool:
    """Whether the title stands in the text as a name: with its capital, and one word not as the first."""
    if not title[:1].isupper():
        return False
    found = re.search(rf"(?<!\w){re.escape(title)}(?!\w)", text)
    return found is not None and (" " in title or found.start() > 0)
