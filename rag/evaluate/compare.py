"""Means with intervals, and two systems against each other, paired by question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rag.evaluate.report import Comparison, Metric, MetricResult, SystemResult
from rag.evaluate.statistics import bootstrap, holm, paired_t, sample_deviation, sign_flip

SAME = 1e-12  # a difference that is rounding


def summary(values: Mapping[str, float | None], *, seed: int, failed: int = 0) -> MetricResult:
    """The mean of the values that there are, and its bootstrap interval."""
    known = [value for value in values.values() if value is not None]
    if not known:
        return MetricResult(mean=None, values=dict(values), failed=failed)
    low, high = bootstrap(known, seed=seed) if len(known) > 1 else (None, None)
    return MetricResult(mean=sum(known) / len(known), low=low, high=high, values=dict(values), failed=failed)


def compared(metrics: Sequence[Metric], systems: Sequence[SystemResult], *, seed: int) -> Iterator[Comparison]:
    """Every system but the first against the first, on each metric that has a value by question.

    The p-values of one metric are adjusted together (Holm): over the systems that were tried.
    """
    baseline, *others = systems
    for metric in metrics:
        if not metric.by_question:
            continue
        found = [
            comparison for other in others if (comparison := _pair(metric.name, baseline, other, seed=seed)) is not None
        ]
        adjusted = holm([comparison.p for comparison in found])
        for comparison, p in zip(found, adjusted, strict=True):
            yield replace(comparison, p_holm=p)


def _pair(metric: str, baseline: SystemResult, other: SystemResult, *, seed: int) -> Comparison | None:
    if metric not in baseline.results or metric not in other.results:
        return None
    base, ours = baseline.results[metric].values, other.results[metric].values
    differences = [
        value - before
        for question, value in ours.items()
        if value is not None and (before := base.get(question)) is not None
    ]
    if not differences:
        return None
    differences = [0.0 if abs(difference) < SAME else difference for difference in differences]
    mean = sum(differences) / len(differences)
    deviation = sample_deviation(differences)
    low, high = bootstrap(differences, seed=seed)
    p = sign_flip(differences, seed=seed)
    t = paired_t(differences)
    return Comparison(
        metric=metric,
        baseline=baseline.name,
        system=other.name,
        difference=mean,
        low=low,
        high=high,
        p=p,
        p_holm=p,
        p_t=None if t is None else t[1],
        effect=mean / deviation if deviation else None,
        wins=sum(difference > 0 for difference in differences),
        losses=sum(difference < 0 for difference in differences),
        ties=sum(difference == 0 for difference in differences),
    )
