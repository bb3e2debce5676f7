"""How well signals tell right answers from wrong ones, and weights that combine them (``ask.abstain``).

A figure here is of answers with a confidence each: the higher, the sooner one would give the answer. Equal confidences
are in no order, so figures are the mean over all orders of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer: the signals that were measured of it (`rag.types.Answer.signals`), and whether it was right."""

    signals: Mapping[str, float]
    right: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression: what ``ask.abstain.weights`` and ``bias`` take."""

    weights: Mapping[str, float]
    bias: float

    def odds(self, signals: Mapping[str, float]) -> float:
        """The log-odds that an answer with these signals is right."""
        return self.bias + sum(weight * signals[name] for name, weight in self.weights.items())


def fit_weights(judged: Sequence[Judged], names: Sequence[str], *, penalty: float = 1.0) -> Weights:
    """The weights under which what was right is most probable, held small by `penalty` (L2, on standardised signals).

    Newton's method to convergence; the same answers give the same weights.

    Raises:
        ValueError: all answers are right, or all wrong; an answer lacks one of the signals.
    """
    right = np.array([each.right for each in judged], np.float64)
    if not 0 < right.sum() < len(right):
        raise ValueError(f"{int(right.sum())} of {len(right)} answers are right: expected both kinds")
    if lacking := [name for name in names if any(name not in each.signals for each in judged)]:
        raise ValueError(f"{', '.join(lacking)}: not measured of every answer")
    values = np.array([[each.signals[name] for name in names] for each in judged], np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    deviation[deviation == 0] = 1.0  # a signal that is always the same gets no weight
    rows = np.column_stack([np.ones(len(values)), (values - mean) / deviation])  # (answers, 1 + signals)
    ridge = np.diag([0.0, *[penalty] * len(names)])
    found = np.zeros(rows.shape[1])
    for _ in range(100):
        probability = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (right - probability) - ridge @ found
        curvature = (rows * (probability * (1 - probability))[:, None]).T @ rows + ridge
        step = np.linalg.solve(curvature, slope)
        found += step
        if np.abs(step).max() < 1e-10:
            break
    weights = found[1:] / deviation
    return Weights(dict(zip(names, weights.tolist(), strict=True)), float(found[0] - weights @ mean))


def separation(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The share of pairs of a right and a wrong answer in which the right one has the higher confidence (AUROC).

    >>> separation([0.9, 0.8, 0.3, 0.3], [True, False, True, False])
    0.625

    Raises:
        ValueError: all answers are right, or all wrong.
    """
    values, good = np.asarray(confidences, np.float64), np.asarray(right, bool)
    if good.all() or not good.any():
        raise ValueError("expected right answers and wrong ones")
    ours, others = values[good], np.sort(values[~good])
    below, upto = np.searchsorted(others, ours, "left"), np.searchsorted(others, ours, "right")
    return float((below + upto).sum() / (2 * len(ours) * len(others)))


def accuracy_at(confidences: Sequence[float], right: Sequence[bool], coverage: float) -> float:
    """The share of right ones among the answers that are given, the most confident `coverage` of all.

    >>> accuracy_at([0.9, 0.5, 0.5, 0.1], [True, True, False, False], 0.5)
    0.75

    Raises:
        ValueError: not even one answer is given.
    """
    given = round(coverage * len(right))
    if not 1 <= given <= len(right):
        raise ValueError(f"a coverage of {coverage:g} gives {given} of {len(right)} answers")
    return float(_right_among(confidences, right)[given - 1] / given)


def risk_area(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The mean share of wrong answers over all coverages: the area under the risk-coverage curve (arXiv 1705.08500).

    >>> risk_area([0.9, 0.1], [True, False])
    0.25
    """
    given = np.arange(1, len(right) + 1)
    return float((1 - _right_among(confidences, right) / given).mean())


def _right_among(confidences: Sequence[float], right: Sequence[bool]) -> NDArray[np.float64]:
    """How many of the first 1, 2, ... answers by confidence are right, equal ones in the mean over their orders."""
    values = np.asarray(confidences, np.float64)
    order = np.argsort(-values, kind="stable")
    _, group, size = np.unique(-values[order], return_inverse=True, return_counts=True)
    share = np.bincount(group, weights=np.asarray(right, np.float64)[order]) / size
    found: NDArray[np.float64] = np.cumsum(share[group])
    return found
