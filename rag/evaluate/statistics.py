"""Whether a difference between two systems could be chance. Everything is paired by question and seeded."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray

EXACT = 16  # differences that are not 0: all 2**16 sign patterns are still counted
SAMPLES = 10_000
_BLOCK = 1 << 22  # random numbers drawn at once: 32 MiB of float64


def sign_flip(differences: Sequence[float], *, seed: int) -> float:
    """Two-sided p of the paired randomisation test: how often random signs give a mean at least as far from 0.

    Exact over all sign patterns for up to 16 differences that are not 0 (those that are change nothing), else
    ``(1 + hits) / (1 + 10,000)`` of seeded samples. No difference at all is 1.

    >>> sign_flip([0.1, 0.1, 0.1], seed=0)
    0.25
    """
    values = np.array([difference for difference in differences if difference != 0.0])
    n = len(values)
    if n == 0:
        return 1.0
    # Sums of the same numbers in another order differ by rounding: that must not make them smaller than the observed.
    reached = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if n <= EXACT:
        patterns = np.arange(1 << n)[:, None] >> np.arange(n) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * patterns) @ values) >= reached))
    random, hits = np.random.default_rng(seed), 0
    for size in _blocks(n):
        signs = random.integers(0, 2, (size, n), dtype=np.int8)
        hits += int(np.sum(np.abs((1.0 - 2.0 * signs) @ values) >= reached))
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
    random = np.random.default_rng(seed)
    means = [sample[random.integers(0, len(sample), (size, len(sample)))].mean(axis=1) for size in _blocks(len(sample))]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
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


def _blocks(width: int) -> list[int]:
    """How many of the samples to draw at a time, so that a block of that width fits."""
    size = max(1, _BLOCK // width)
    return [min(size, SAMPLES - start) for start in range(0, SAMPLES, size)]


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
