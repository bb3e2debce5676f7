"""CRAG: grade what was found, refine it, and look elsewhere if it is not right (Yan et al., arXiv 2401.15884)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

from rag.text.sentences import sentences
from rag.trigger.base import Decision, Found, Moment, MomentName
from rag.trigger.evaluators import Evaluator
from rag.types import Chunk, Ranking, Scalar, ScoredChunk

Verdict: TypeAlias = Literal["correct", "ambiguous", "incorrect"]


class Crag:
    """Correct: go on with what was found, refined. Incorrect: with what is found elsewhere. Ambiguous: with both.

    Where there is no second source, nothing is left of an incorrect ranking, and a generator abstains. What comes from
    elsewhere is refined and not graded again.

    Args:
        upper: one passage with at least this score makes the ranking correct.
        lower: one with at least this makes it ambiguous. Both belong to the evaluator, and only to it.
        depth: how many passages to grade.
        strips: how many strips of the graded passages to keep; 0: whole passages.
        strip_sentences: how long a strip is.
    """

    moments: frozenset[MomentName] = frozenset({"found"})
    reads_tokens = False

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        upper: float,
        lower: float,
        depth: int = 10,
        strips: int = 6,
        strip_sentences: int = 3,
    ) -> None:
        self.evaluator = evaluator
        self.upper = upper
        self.lower = lower
        self.depth = depth
        self.strips = strips
        self.strip_sentences = strip_sentences

    def decide(self, moment: Moment) -> Decision:
        assert isinstance(moment, Found)
        question, hits = moment.query.text, moment.ranking.hits[: self.depth]
        if moment.elsewhere:
            found, notes = self._refined(question, hits)
            return Decision(retrieve=False, why="refined", found=found, numbers=notes)
        grades = self.evaluator.grade(question, hits)
        said = verdict(grades.scores, upper=self.upper, lower=self.lower)
        numbers: dict[str, Scalar] = {**grades.notes, "best": max(grades.scores, default=None)}
        if said == "incorrect":
            return Decision(retrieve=True, elsewhere=True, why=said, found=Ranking(), numbers=numbers)
        found, notes = self._refined(question, hits)
        return Decision(
            retrieve=said == "ambiguous", elsewhere=True, why=said, found=found, numbers=_added(numbers, notes)
        )

    def _refined(self, question: str, hits: Sequence[ScoredChunk]) -> tuple[Ranking | None, dict[str, Scalar]]:
        if not self.strips or not hits:
            return None, {}
        strips = [strip for hit in hits for strip in cut(hit, sentences_each=self.strip_sentences)]
        grades = self.evaluator.grade(question, strips)
        order = sorted(range(len(strips)), key=lambda at: (-grades.scores[at], at))
        kept = sorted(order[: self.strips])
        scored = [ScoredChunk(strips[at].chunk, grades.scores[at], "crag") for at in kept]
        return Ranking.of(list(_joined(scored))), {**grades.notes, "strips": len(strips)}


def verdict(scores: Sequence[float], *, upper: float, lower: float) -> Verdict:
    """What the scores of the passages say of the ranking.

    >>> verdict([0.6, -1], upper=0.592, lower=-0.995), verdict([-0.996], upper=0.592, lower=-0.995)
    ('correct', 'incorrect')
    """
    best = max(scores, default=float("-inf"))
    return "correct" if best >= upper else "ambiguous" if best >= lower else "incorrect"


def cut(hit: ScoredChunk, *, sentences_each: int) -> Iterator[ScoredChunk]:
    """The chunk in strips of so many sentences, each with its exact span."""
    chunk, borders = hit.chunk, sentences(hit.chunk.text)
    for at in range(0, len(borders), sentences_each):
        part = borders[at : at + sentences_each]
        yield ScoredChunk(_part(chunk, part[0][0], part[-1][1]), hit.score, hit.origin)


def _part(chunk: Chunk, start: int, end: int) -> Chunk:
    span = type(chunk.span)(chunk.document_id, chunk.span.start + start, chunk.span.start + end)
    return Chunk(span=span, text=chunk.text[start:end], meta=chunk.meta)


def _joined(strips: Sequence[ScoredChunk]) -> Iterator[ScoredChunk]:
    """Strips of one document that overlap are one; the rest stay apart, since what is between them was left out."""
    for _, of_document in groupby(sorted(strips, key=lambda strip: strip.chunk.span), lambda s: s.chunk.document_id):
        last: ScoredChunk | None = None
        for strip in of_document:
            if last is not None and strip.chunk.span.start < last.chunk.span.end:
                last = max(last, strip, key=lambda each: each.score)
                continue
            if last is not None:
                yield last
            last = strip
        if last is not None:
            yield last


def _added(numbers: dict[str, Scalar], more: dict[str, Scalar]) -> dict[str, Scalar]:
    """Costs of both are summed."""
    summed = dict(numbers)
    for name, value in more.items():
        before = summed.get(name)
        both = isinstance(value, int) and isinstance(before, int)
        summed[name] = before + value if both else value  # type: ignore[operator]  # both are numbers
    return summed
