"""From attention to scores: in-context re-ranking (ICR, arXiv 2410.02642), as its code computes it.

Everything is a function of arrays. Attention of one document is (heads, tokens): the mean over the tokens of the
query's part of the prompt, from the late instruction through the end of the chat format.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def query_attention(weights: Floats, query: slice, documents: Sequence[slice]) -> list[NDArray[np.float32]]:
    """Reduce whole attention maps to the attention of each document.

    Args:
        weights: (layers, heads, tokens, tokens), each row a distribution over the tokens up to its own.
        query: the positions of the query's part.
        documents: the positions of each document.

    Returns:
        For each document (layers * heads, its tokens), layer by layer.
    """
    mean = weights[:, :, query, :].mean(axis=2)  # (layers, heads, tokens)
    flat = mean.reshape(-1, mean.shape[-1])
    return [np.ascontiguousarray(flat[:, document], dtype=np.float32) for document in documents]


def calibrated(attention: Floats, blank: Floats) -> NDArray[np.float64]:
    """What the question adds to what the prompt draws anyway: attention less that for a query without content.

    Args:
        attention: (heads, tokens) for the question.
        blank: (heads, tokens) for ``N/A`` in its place.

    Returns:
        (tokens,) summed over the heads: all, or those of a restricted variant (QRHead, arXiv 2506.09944).
    """
    difference: NDArray[np.float64] = (attention.astype(np.float64) - blank).sum(axis=0)
    return difference


def kept(scores: Floats) -> NDArray[np.bool_]:
    """Which tokens count: those above the mean less two sample standard deviations, so only abnormally low ones go.

    A single token has no deviation and is kept; the published code drops it, which scores short documents 0.

    >>> kept(np.array([0.25, 0.05, 0.15, -0.40])).tolist()   # the threshold is -0.561
    [True, True, True, True]
    """
    if len(scores) < 2:
        return np.ones(len(scores), np.bool_)
    above: NDArray[np.bool_] = scores > scores.mean() - 2 * scores.std(ddof=1)
    # Equal scores have no deviation, and none is above their mean.
    return above if above.any() else np.ones(len(scores), np.bool_)


def document_score(attention: Floats, blank: Floats) -> float:
    """The sum of the calibrated scores of the kept tokens; NaN for a document without tokens, which says nothing.

    It is a sum, so a longer document collects more: cut all at the same length.
    """
    scores = calibrated(attention, blank)
    return float(scores[kept(scores)].sum()) if len(scores) else float("nan")
