"""Who says how relevant a passage is, for CRAG: one number each, on a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rag.models.cross_encoder import PairScorer
from rag.trigger.asking import Asker
from rag.types import Meta, ScoredChunk


@dataclass(frozen=True, slots=True)
class Grades:
    """A score for each passage, in their order, and what giving them cost."""

    scores: tuple[float, ...]
    notes: Meta = field(default_factory=dict)


class Evaluator(Protocol):
    """Raises:
    BackendError, ModelError: it cannot be asked.
    """

    def grade(self, question: str, hits: Sequence[ScoredChunk]) -> Grades: ...


class GivenScores:
    """The scores of the ranking, by whoever scored last."""

    def grade(self, question: str, hits: Sequence[ScoredChunk]) -> Grades:
        return Grades(tuple(hit.score for hit in hits))


class CrossEncoded:
    """A cross-encoder's scores; a passage longer than its window is cut at the end."""

    def __init__(self, scorer: PairScorer) -> None:
        self.scorer = scorer

    def grade(self, question: str, hits: Sequence[ScoredChunk]) -> Grades:
        scores = self.scorer.score([(question, hit.chunk.text) for hit in hits])
        return Grades(tuple(float(score) for score in scores))


VERDICTS = {"correct": 1.0, "ambiguous": 0.0, "incorrect": -1.0}


class Prompted:
    """A language model's verdict on each passage as 1, 0 or -1; a reply that is none counts as ambiguous and is noted.

    An approximation of the paper's trained evaluator.
    """

    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    def grade(self, question: str, hits: Sequence[ScoredChunk]) -> Grades:
        told = self.asker.ask([{"question": question, "passage": hit.chunk.text} for hit in hits])
        verdicts = [str(reply.get("verdict")) if reply else "" for reply in told.replies]
        unread = sum(verdict not in VERDICTS for verdict in verdicts)
        scores = tuple(VERDICTS.get(verdict, 0.0) for verdict in verdicts)
        return Grades(scores, {**told.notes(), "malformed": unread})
