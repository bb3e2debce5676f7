"""The best of many scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask, Rows, Scores

BLOCK = 32  # scores whose maximum is taken together
FEW = 1024  # scores are sorted at once


def best(scores: Scores, rows: Rows, *, k: int) -> tuple[Rows, Scores]:
    """The `k` highest scores and their rows, best first, equal scores by row; exact also where a tie is cut. What is
    no number is not among them.

    Args:
        scores: (n,), the score of each of `rows`.
        rows: (n,), ascending.
    """
    if len(scores) > max(k, FEW):
        likely = np.flatnonzero(scores >= floor(scores, k))
        if len(likely) >= k:  # fewer where some are not numbers
            rows, scores = rows[likely], scores[likely]
    if len(scores) > max(k, FEW):  # many are level, or `k` is large
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above, level = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        kept = np.sort(np.concatenate((above, level[: k - len(above)])))
        if len(kept):  # none where the least is no number
            rows, scores = rows[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")[:k]
    rows, scores = rows[order], scores[order]
    if len(scores) and math.isnan(scores[-1]):  # what is no number is sorted to the end
        numbers = ~np.isnan(scores)
        return rows[numbers], scores[numbers]
    return rows, scores


def floor(scores: NDArray[np.floating[Any]], k: int) -> float:
    """What at least `k` of the scores reach: the k-th highest of the maxima of blocks, far quicker than sorting all."""
    blocks = len(scores) // BLOCK
    if blocks <= k:
        return float(scores.min())
    # A block is every `blocks`-th score: maxima of rows that lie side by side are taken many at a time.
    maxima = scores[: blocks * BLOCK].reshape(BLOCK, blocks).max(axis=0)
    maxima.partition(blocks - k)
    return float(maxima[blocks - k])


def visible(live: Mask, allowed: Mask | None) -> Rows | None:
    """The rows that may be seen, ascending; ``None`` when it is all of them."""
    mask = live if allowed is None else allowed & live
    rows = np.flatnonzero(mask)
    return None if len(rows) == len(live) else rows


def spread(scores: Scores) -> tuple[float, float]:
    """Mean and population standard deviation, summed in double precision; zeros for no scores."""
    if not len(scores):
        return 0.0, 0.0
    # Not by inner products: over 10,000 numbers, BLAS wakes a second thread, and waits for it on a busy machine.
    exact = scores.astype(np.float64)
    mean = float(exact.sum()) / len(exact)
    exact -= mean
    exact *= exact
    return mean, math.sqrt(float(exact.sum()) / len(exact))
