"""Sum of the log-odds of calibrated scores: what two independent witnesses say together, by Bayes' rule."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan, copysign, cos, log, sin, sqrt

import numpy as np

from rag.retrieve.candidates import Candidates
from rag.retrieve.lists import weights_for
from rag.types import Ranking


class LogOddsFuser:
    """The weighted sum of ``ln(p / (1 - p))``, p the share of all chunks that score below, clipped.

    That share is calibrated from the mean and deviation of a retriever's scores over all chunks the query may see, by
    Student's t with `degrees` of freedom: retrieval scores have more chunks far above the mean than the normal
    distribution. As in `CollectionZScoreFuser` every candidate gets every retriever's true score, and a retriever that
    tells no chunk apart adds 0.

    With an exponential distribution in place of t, log-odds are the z-score itself for all but the lowest chunks:
    `zscore` is then the same rule. t makes less of one very high score, and more of two high ones.

    Raises:
        ConfigError: a ranking has no background, as after a foreign retriever.
    """

    def __init__(
        self, *, keep: int, degrees: int = 12, clip: float = 1e-12, weights: Sequence[float] | None = None
    ) -> None:
        self.keep = keep
        self.degrees = degrees
        self.clip = clip
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        candidates = Candidates.of(rankings, use="logodds")
        sums = np.zeros(len(candidates.chunks))
        for values, weight in zip(candidates.standardised(), weights, strict=True):
            odds = [log_odds(value, degrees=self.degrees, clip=self.clip) for value in values.tolist()]
            sums += weight * np.array(odds)
        return candidates.best(sums, keep=self.keep, origin="logodds")


def log_odds(deviations: float, *, degrees: int, clip: float) -> float:
    """``ln(p / (1 - p))`` of Student's t, scaled to deviation 1, at so many deviations above the mean.

    Args:
        degrees: even, 4 or more.
        clip: the least p and the least 1 - p.

    >>> log_odds(0.0, degrees=4, clip=1e-12)
    0.0
    >>> round(log_odds(3.0, degrees=4, clip=1e-12), 4), round(log_odds(-3.0, degrees=4, clip=1e-12), 4)
    (5.0114, -5.0114)
    """
    tail = max(clip, _tail(abs(deviations) * sqrt(degrees / (degrees - 2)), degrees))
    return copysign(log((1 - tail) / tail), deviations)


def _tail(t: float, degrees: int) -> float:
    """P(T >= t) for t >= 0 and even degrees; Abramowitz and Stegun, 26.7.4."""
    angle = atan(t / sqrt(degrees))
    term = total = 1.0
    for step in range(1, degrees // 2):
        term *= (2 * step - 1) / (2 * step) * cos(angle) ** 2
        total += term
    return (1 - sin(angle) * total) / 2
