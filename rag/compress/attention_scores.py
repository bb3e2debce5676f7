"""From attention to the sentences it falls on: InfiniRetri (arXiv 2502.12962), as its code computes it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag.compress.budget import Scores


def question_attention(weights: NDArray[np.floating], *, rows: NDArray[np.floating] | None = None) -> Scores:
    """How much a question attends to each token of its context, in one layer.

    Args:
        weights: (heads, question tokens, context tokens), attention after the softmax.
        rows: (question tokens,) how much each token of the question counts; all alike if ``None``.

    Returns:
        (context tokens,) the sum over heads, then over the question's tokens.

    >>> question_attention(np.array([[[0.25, 0.5], [0.0, 1.0]], [[0.25, 0.0], [0.5, 0.0]]])).tolist()
    [1.0, 1.5]
    """
    summed = weights.astype(np.float64).sum(axis=0)
    counted: Scores = (summed if rows is None else summed * rows[:, None]).sum(axis=0)
    return counted


def row_weights(weights: NDArray[np.floating]) -> Scores:
    """(question tokens,) how much the question attends to each of its own tokens, squared.

    The authors' code takes it from the first stretch of the text for all, and multiplies by it twice. The paper does
    not motivate the square, so counting all rows alike is the default here.

    Args:
        weights: (heads, question tokens, question tokens) of one layer, the later attending to the earlier.
    """
    attended: Scores = weights.astype(np.float64).sum(axis=(0, 1))
    return attended**2


def smoothed(values: Scores, width: int) -> Scores:
    """(n,) the mean over a window of `width` around each value; outside there is 0. An even one reaches further back.

    A phrase that is attended to counts more than a lone token.

    >>> smoothed(np.array([0.0, 0, 9, 0, 0]), 3).tolist()
    [0.0, 3.0, 3.0, 3.0, 0.0]
    """
    width = min(width, max(1, len(values)))
    around: Scores = np.convolve(values, np.full(width, 1 / width), "full")[(width - 1) // 2 :][: len(values)]
    return around


def attended_sentences(tokens_of: Sequence[Scores], *, tokens: int, width: int) -> tuple[Scores, Set[int]]:
    """Score sentences by their best token, and keep those whole in which any of the `tokens` best stands.

    Args:
        tokens_of: for each sentence, in the order of the text, the attention to its tokens.

    Returns:
        (sentences,) scores, and the positions of what is kept. Equal tokens: the earlier. A token without attention,
        or whose attention is not a number, is never among the best.
    """
    lengths = [len(each) for each in tokens_of]
    attention = np.nan_to_num(np.concatenate([*tokens_of, np.empty(0)]))
    values = smoothed(attention, width) if len(attention) else attention
    owner = np.repeat(np.arange(len(lengths)), lengths)
    scores = np.zeros(len(lengths))
    np.maximum.at(scores, owner, values)
    best = np.argsort(-values, kind="stable")[:tokens]
    return scores, {int(owner[at]) for at in best if values[at] > 0}


def stretches(costs: Sequence[int], size: int) -> list[range]:
    """Cut a text of sentences into stretches of about `size` tokens, the last two of them balanced.

    A stretch holds as many sentences as fit, at least one. The last two are cut anew where they are most alike, so that
    no short rest is read alone.

    >>> stretches([4, 4, 4, 4, 4, 1], 12)
    [range(0, 3), range(3, 6)]
    >>> stretches([4, 4, 4, 4], 12)
    [range(0, 2), range(2, 4)]
    """
    cuts = [0]
    filled = 0
    for at, cost in enumerate(costs):
        if filled and filled + cost > size:
            cuts.append(at)
            filled = 0
        filled += cost
    cuts.append(len(costs))
    if len(cuts) > 2:
        first, last = cuts[-3], cuts[-1]
        before = np.cumsum(costs[first:last])
        uneven = np.abs(2 * before[:-1] - before[-1])
        cuts[-2] = first + 1 + int(uneven.argmin())
    return [range(start, end) for start, end in pairwise(cuts)]
