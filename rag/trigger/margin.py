"""Retrieve again where the scores of a ranking do not tell its chunks apart. Ours."""

from __future__ import annotations

from rag.trigger.base import Decision, Found, Moment, MomentName
from rag.types import Ranking


class Margin:
    """After a retrieval: unsure if the best chunk does not lead by `least`, or its score is below `least_score`.

    Searching again for the same finds the same, so it takes a query builder that words the question anew, or a second
    source.

    Args:
        least: the share of the distance from the best to the last score by which the best must lead the second.
        least_score: what the best must have, on the scale of who scored last; ``None``: anything.
        elsewhere: whether to look in the second source.
    """

    moments: frozenset[MomentName] = frozenset({"found"})
    reads_tokens = False

    def __init__(self, *, least: float = 0.1, least_score: float | None = None, elsewhere: bool = False) -> None:
        self.least = least
        self.least_score = least_score
        self.elsewhere = elsewhere

    def decide(self, moment: Moment) -> Decision:
        assert isinstance(moment, Found)
        if moment.elsewhere or not moment.ranking:
            return Decision(retrieve=not moment.elsewhere, why="nothing found", elsewhere=self.elsewhere)
        lead, best = margin(moment.ranking), moment.ranking[0].score
        weak = self.least_score is not None and best < self.least_score
        unsure = weak or lead < self.least
        why = "the best score is low" if weak else "the best hardly leads" if unsure else "the best leads"
        return Decision(retrieve=unsure, why=why, numbers={"margin": lead, "best": best}, elsewhere=self.elsewhere)


def margin(ranking: Ranking) -> float:
    """By how much the best leads the second, as a share of the distance from the best to the last; 1 for one alone.

    0 where all score the same.
    """
    scores = sorted((hit.score for hit in ranking), reverse=True)
    if len(scores) < 2:
        return 1.0
    spread = scores[0] - scores[-1]
    return (scores[0] - scores[1]) / spread if spread > 0 else 0.0
