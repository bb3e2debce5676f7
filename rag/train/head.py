"""Fits the weights of a linear head to questions, chooses how far to trust them, and judges them where nobody looked.

The loss is the softmax cross-entropy of each question's list (ListNet with one probability a candidate, Cao et al.,
ICML 2007): ``-Σ y log softmax(t * untrained + Σ weight * sign)``. It is convex, so Newton's method finds the minimum
in a few steps: no learning rate, no epochs, nothing drawn. What early stopping does for a network is done by a ridge
that pulls all weights to 0, which is the untrained order: of fits from a strong ridge to a weak one, the strongest is
kept that is within a standard error of the best on validation questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError
from rag.evaluate.statistics import bootstrap, sign_flip
from rag.models.linear_head import LinearHead
from rag.train.split import Split

Floats = NDArray[np.float64]

LEAST = 50  # questions of all sets together that have something to learn from
RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
STEPS = 50  # of Newton's method; under ten are usual
WORTH = 0.1  # the least that the untrained score counts


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One question and its candidates.

    Attributes:
        untrained: (n,) their scores without a head.
        signs: by name, each (n,).
        right: (n,) what share of the probability each should get: 0 is wrong, all 0 teaches nothing.
        taught: (n,) false for candidates that are neither right nor wrong, so that they take no part in the loss.
        figure: what an order by new scores is worth.
    """

    untrained: Floats
    signs: Mapping[str, Floats]
    right: Floats
    taught: NDArray[np.bool_]
    figure: Callable[[Floats], float]

    def judged(self, head: LinearHead) -> float:
        return self.figure(head.scores(self.untrained, self.signs))


@dataclass(frozen=True, slots=True)
class CaseSet:
    """The cases of an evaluation set, by its name."""

    name: str
    cases: Sequence[Case]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The figure of a set without and with the head; `interval` (95 %, bootstrap) and `p` (paired randomisation) are
    of the gain."""

    name: str
    questions: int
    before: float
    after: float
    interval: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReport:
    """What training did.

    `ridge` is the one that was kept, ``None`` where no head is better than none on validation. `held_out` are
    questions of the training sets that neither trained nor chose, `unseen` other sets.
    """

    metric: str
    training: int
    validation: int
    ridge: float | None
    weights: Mapping[str, float]
    validation_before: float
    validation_after: float
    held_out: tuple[Judged, ...]
    unseen: tuple[Judged, ...]

    @property
    def gained(self) -> bool:
        """Whether the head is better than none on held-out questions, the mean over sets."""
        return sum(judged.after - judged.before for judged in self.held_out) > 0


def train_head(
    sets: Sequence[CaseSet], unseen: Sequence[CaseSet], *, signs: Sequence[str], metric: str, seed: int
) -> tuple[LinearHead, HeadReport]:
    """Train on three fifths of each set's questions, choose on one, judge on one; every set counts the same.

    Args:
        signs: those to weigh.
        unseen: sets to judge on besides.
        metric: the name of `Case.figure`.

    Raises:
        ConfigError: fewer than 50 questions of `sets` have a right candidate, or a set has fewer than five.
    """
    usable = sum(bool(case.right.any()) for each in sets for case in each.cases)
    if usable < LEAST:
        raise ConfigError(
            f"{usable} questions with a right candidate are too few to train on, expected {LEAST} at least"
        )
    for each in [*sets, *unseen]:
        if len(each.cases) < 5:
            raise ConfigError(f"{each.name}: {len(each.cases)} questions are too few to judge on, expected 5 at least")
    splits = [Split.of(len(each.cases), seed=seed) for each in sets]
    training = [[each.cases[at] for at in split.training] for each, split in zip(sets, splits, strict=True)]
    validation = [[each.cases[at] for at in split.validation] for each, split in zip(sets, splits, strict=True)]
    heads: dict[float | None, LinearHead] = {None: LinearHead({})}
    heads |= {ridge: fit(training, signs, ridge=ridge) for ridge in RIDGES}
    figures = {ridge: _figures(validation, head) for ridge, head in heads.items()}
    chosen = _chosen(figures)
    best = heads[chosen]
    held_out = [
        CaseSet(each.name, [each.cases[at] for at in split.held_out]) for each, split in zip(sets, splits, strict=True)
    ]
    return best, HeadReport(
        metric=metric,
        training=sum(map(len, training)),
        validation=sum(map(len, validation)),
        ridge=chosen,
        weights=best.weights,
        validation_before=_mean(figures[None]),
        validation_after=_mean(figures[chosen]),
        held_out=tuple(judge(each, best, seed=seed) for each in held_out),
        unseen=tuple(judge(each, best, seed=seed) for each in unseen),
    )


def judge(cases: CaseSet, head: LinearHead, *, seed: int) -> Judged:
    """A set without and with the head."""
    before = [case.judged(LinearHead({})) for case in cases.cases]
    after = [case.judged(head) for case in cases.cases]
    gains = [new - old for new, old in zip(after, before, strict=True)]
    return Judged(
        name=cases.name,
        questions=len(gains),
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        interval=bootstrap(gains, seed=seed),
        p=sign_flip(gains, seed=seed),
    )


def fit(sets: Sequence[Sequence[Case]], signs: Sequence[str], *, ridge: float) -> LinearHead:
    """The weights of the least mean loss plus ``ridge / 2 * Σ weight²``, in units of the untrained score.

    ``t``, how much the untrained score is worth, is fitted too and not held back; the weights are divided by it, so
    that the score of a head is the untrained one plus what the signs add. It is held at `WORTH` where it would fall
    below: untrained scores that are worth nothing beside the signs still decide among equals.
    """
    lists = [_List.of(case, signs, weight=1 / len(cases)) for cases in sets for case in cases if case.right.any()]
    penalty = np.array([0.0, *[ridge * len(sets)] * len(signs)])
    start = np.array([1.0, *[0.0] * len(signs)])
    theta = _minimum(lists, penalty, start, free=np.ones(len(start), np.bool_))
    if theta[0] < WORTH:
        start[0] = WORTH
        theta = _minimum(lists, penalty, start, free=np.arange(len(start)) > 0)
    return LinearHead({name: float(weight / theta[0]) for name, weight in zip(signs, theta[1:], strict=True)})


def _minimum(lists: Sequence[_List], penalty: Floats, start: Floats, *, free: NDArray[np.bool_]) -> Floats:
    """Newton's method over the `free` coordinates, each step halved until it goes down."""
    theta, value = start, _loss(lists, start, penalty)
    for _ in range(STEPS):
        slope, curvature = _derivatives(lists, theta, penalty)
        step = np.zeros(len(theta))
        # A little on the diagonal: a sign that is the same for all candidates has no curvature of its own.
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)] + 1e-9 * np.eye(int(free.sum())), slope[free])
        size = 1.0
        while (moved := _loss(lists, theta - size * step, penalty)) > value and size > 1e-6:
            size /= 2
        if moved >= value - 1e-12:
            break
        theta, value = theta - size * step, moved
    return theta


@dataclass(frozen=True, slots=True, eq=False)
class _List:
    """What the loss sees of a case: (n, 1 + signs) with the untrained score first, and (n,) that sums to 1."""

    columns: Floats
    right: Floats
    weight: float

    @staticmethod
    def of(case: Case, signs: Sequence[str], *, weight: float) -> _List:
        columns = np.stack([case.untrained, *(case.signs[name] for name in signs)], axis=1)[case.taught]
        right = case.right[case.taught]
        return _List(columns, right / right.sum(), weight)


def _loss(lists: Sequence[_List], theta: Floats, penalty: Floats) -> float:
    total = float(penalty @ theta**2) / 2
    for each in lists:
        scores = each.columns @ theta
        highest = scores.max()
        total += each.weight * float(highest + np.log(np.exp(scores - highest).sum()) - each.right @ scores)
    return total


def _derivatives(lists: Sequence[_List], theta: Floats, penalty: Floats) -> tuple[Floats, Floats]:
    """With p the softmax: the slope ``Xᵀ (p - y)`` and the curvature ``Xᵀ diag(p) X - (Xᵀ p)(Xᵀ p)ᵀ``, summed."""
    slope, curvature = penalty * theta, np.diag(penalty)
    for each in lists:
        scores = each.columns @ theta
        share = np.exp(scores - scores.max())
        share /= share.sum()
        mean = each.columns.T @ share
        slope = slope + each.weight * (mean - each.columns.T @ each.right)
        curvature = curvature + each.weight * ((each.columns.T * share) @ each.columns - np.outer(mean, mean))
    return slope, curvature


def _figures(sets: Sequence[Sequence[Case]], head: LinearHead) -> list[Floats]:
    """The figure of every question, set by set."""
    return [np.array([case.judged(head) for case in cases]) for cases in sets]


def _mean(figures: Sequence[Floats]) -> float:
    """The mean over sets of the mean over questions."""
    return float(np.mean([of_set.mean() for of_set in figures]))


def _chosen(figures: Mapping[float | None, Sequence[Floats]]) -> float | None:
    """The first key that is behind the best by no more than a standard error; ``None`` if that is the best.

    The best of several noisy figures is too good, and of heads that are about equal the one that changes less holds
    better on other sets. The error is that of the paired difference (Breiman et al., 1984, for trees).
    """
    best = max(figures, key=lambda key: _mean(figures[key]))
    if best is None:
        return None
    for key, of_key in figures.items():
        behind = [top - own for top, own in zip(figures[best], of_key, strict=True)]
        error = np.sqrt(sum(each.var() / len(each) for each in behind)) / len(behind)
        if key is not None and _mean(behind) <= error:
            return key
    raise AssertionError("the best is behind itself by nothing")
