"""Whether a difference between two systems could be chance. Everything is paired by question and seeded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray

EXACT = 16  # differences that are not 0: all 2**16 sign patterns are still counted
SAMPLES = 10_000
_BLOCK = 1 << 18  # numbers multiplied at once: 2 MiB of float64, which a cache holds


def sign_flip(differences: Sequence[float], *, seed: int) -> float:
    """Two-sided p of the paired randomisation test: how often random signs give a mean at least as far from 0.

    Exact over all sign patterns for up to 16 differences that are not 0 (those that are change nothing), else
    ``(1 + hits) / (1 + 10,000)`` of seeded samples. No difference at all is 1.

    >>> sign_flip([0.1, 0.1, 0.1], seed=0)
    0.25
    """
    values = np.asarray(differences, np.float64)
    moved = values[values != 0.0]
    if not len(moved):
        return 1.0
    # Sums of the same numbers in another order differ by rounding: that must not make them smaller than the observed.
    reached = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if len(moved) <= EXACT:
        patterns = np.arange(1 << len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * patterns) @ moved) >= reached))
    hits = int(np.sum(np.abs(_weighted(_signs(len(values), seed), values)) >= reached))
    return (1 + hits) / (1 + SAMPLES)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: the smallest times n, the next times n - 1, never falling, at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p)
    highest = 0.0
    for place, at in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        highest = max(highest, min(1.0, (len(p) - place) * p[at]))
        adjusted[at] = highest
    return adjusted


def bootstrap(values: Sequence[float], *, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean: 10,000 seeded resamples, linear interpolation between them.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    sample: NDArray[np.float64] = np.asarray(values, np.float64)
    means = _weighted(_resamples(len(sample), seed), sample) / len(sample)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_t(differences: Sequence[float]) -> tuple[float, float] | None:
    """Student's t of paired differences and its two-sided p; ``None`` where all are equal or there is only one."""
    deviation = sample_deviation(differences)
    if not deviation:
        return None
    n = len(differences)
    t = sum(differences) / n / (deviation / sqrt(n))
    return t, _incomplete_beta((n - 1) / 2, 0.5, (n - 1) / (n - 1 + t * t))


def sample_deviation(values: Sequence[float]) -> float:
    """Standard deviation with n - 1 below; 0 for fewer than two values, or for equal ones."""
    if len(values) < 2 or min(values) == max(values):
        return 0.0
    return float(np.std(np.asarray(values, np.float64), ddof=1))


# Draws depend on the number of questions and the seed alone: those of one metric serve the next.


@lru_cache(maxsize=4)
def _signs(n: int, seed: int) -> NDArray[np.int8]:
    """(SAMPLES, n) of 1 and -1."""
    signs = np.random.default_rng(seed).integers(0, 2, (SAMPLES, n), dtype=np.int8)
    signs *= 2
    signs -= 1
    return signs


@lru_cache(maxsize=4)
def _resamples(n: int, seed: int) -> NDArray[np.uint16]:
    """(SAMPLES, n): how often each of n values is drawn, in n draws with replacement."""
    random = np.random.default_rng(seed)
    counts = np.empty((SAMPLES, n), np.uint16)
    for rows in _blocks(n):
        size = rows.stop - rows.start
        drawn = random.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        counts[rows] = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
    return counts


def _weighted(weights: NDArray[np.int8] | NDArray[np.uint16], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``weights @ values`` without a copy of all weights as floats."""
    return np.concatenate([weights[rows].astype(np.float64) @ values for rows in _blocks(len(values))])


def _blocks(width: int) -> list[slice]:
    """The rows of the samples, a few at a time."""
    size = max(1, _BLOCK // width)
    return [slice(start, min(start + size, SAMPLES)) for start in range(0, SAMPLES, size)]


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function by Lentz's continued fraction, to about 1e-14."""
    if x <= 0.0 or x >= 1.0:
        return max(0.0, min(1.0, x))
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1.0 - x)) / a
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1.0 + factor * d)
            c = _away(1.0 + factor / c)
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * fraction


def _away(value: float) -> float:
    """Not 0, which the fraction divides by."""
    return value if abs(value) > 1e-300 else 1e-300
