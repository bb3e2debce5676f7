"""How few candidates have to be scored to find the best: by their first-stage scores, and by giving up in time.

Both from "Multivector Reranking in the Era of Strong First-Stage Retrievers" (as in its code, vectorium).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace, nlargest

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def unpruned(scores: Floats, *, keep: int, share: float) -> int:
    """How many candidates are worth scoring: those with ``t - share * |t|`` and more, t being the `keep`-th score.

    All, if there are no more than `keep`. A larger share prunes less.

    Args:
        scores: (n,) of the first stage, best first.

    >>> unpruned(np.array([10, 9, 8, 7.9, 7]), keep=3, share=0.05)  # 7.6 and more
    4
    """
    if len(scores) <= keep:
        return len(scores)
    last = scores[keep - 1]
    return max(keep, int(np.count_nonzero(scores >= last - share * abs(last))))


def early_exit(
    scores: Sequence[float], score: Callable[[int, int], Floats], *, count: int, keep: int, patience: int
) -> list[float]:
    """The scores of the first candidates, until `patience` in a row did not get among the best `keep`.

    Args:
        scores: of those scored already, the first `keep` at least, or all.
        score: gives the scores from one position up to another; asked for no candidate that is not needed.
        count: how many candidates there are.
    """
    found = list(scores)
    best = nlargest(keep, (value for value in found if np.isfinite(value)))
    best += [-np.inf] * (keep - len(best))
    heapify(best)
    misses = 0
    while len(found) < count and misses < patience:
        at = len(found)
        for value in score(at, min(count, at + patience - misses)).tolist():
            found.append(value)
            if value > best[0]:
                heapreplace(best, value)
                misses = 0
            else:
                misses += 1
    return found
