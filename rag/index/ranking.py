"""The best of many scores."""

from __future__ import annotations

import numpy as np

from rag.index.base import Mask, Rows, Scores


def best(scores: Scores, rows: Rows, *, k: int) -> tuple[Rows, Scores]:
    """The `k` highest scores and their rows, best first, equal scores by row; exact also where a tie is cut.

    Args:
        scores: (n,), the score of each of `rows`.
        rows: (n,), ascending.
    """
    if len(scores) > k:
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > least)
        level = np.flatnonzero(scores == least)[: k - len(above)]
        kept = np.concatenate((above, level))
        scores, rows = scores[kept], rows[kept]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


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
    return float(scores.mean(dtype=np.float64)), float(scores.std(dtype=np.float64))
