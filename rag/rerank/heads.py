"""Which attention heads retrieve: how they are found, and lists that were published for some models.

A list belongs to one checkpoint; what the methods find differs, so do not mix them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.models.attention import Head
from rag.models.attention_heads import head_of

Floats = NDArray[np.floating]


def parse_heads(text: str) -> tuple[Head, ...]:
    """Heads written as ``layer-head``, apart by commas.

    >>> [str(head) for head in parse_heads("14-22, 13-16")]
    ['14-22', '13-16']
    """
    return tuple(head_of(part) for part in text.split(","))


PUBLISHED: Mapping[str, tuple[Head, ...]] = {
    "llama-3.1-8b": parse_heads(
        "14-22, 13-16, 14-28, 14-31, 16-19, 14-1, 16-26, 17-24, 14-0, 13-0, 16-25, 13-12, 13-1, 13-10, 17-27, 20-14"
    ),
    "llama-3.2-3b": parse_heads(
        "13-16, 12-12, 13-23, 13-21, 15-18, 12-3, 21-20, 12-1, 13-2, 13-1, 12-6, 12-11, 13-0, 15-22, 18-19, 18-11"
    ),
    "llama-3.2-1b": parse_heads(
        "8-21, 8-14, 7-22, 6-31, 8-28, 10-26, 10-0, 5-5, 8-3, 6-30, 8-0, 7-26, 7-25, 7-23, 11-4, 8-20"
    ),
    "qwen2.5-7b": parse_heads(
        "16-19, 16-2, 16-20, 16-14, 16-0, 15-24, 16-18, 17-18, 16-1, 19-18, 19-19, 18-16, 16-17, 19-25, 19-17, 20-21"
    ),
}
"""Query-focused heads by nDCG on Natural Questions, best first: QRHead, arXiv 2506.09944, as in its code."""


def retrieval_scores(
    looks: NDArray[np.integer], context: NDArray[np.integer], generated: NDArray[np.integer], needle: tuple[int, int]
) -> NDArray[np.float64]:
    """How much of a needle each head copies while the model writes it out (arXiv 2404.15574).

    A head gains 1 / |needle| at a step where the token it attends to most lies in the needle and is the one being
    written. Average over trials in which the needle was indeed reproduced.

    Args:
        looks: (steps, layers, heads) the position that each head attends to most as each token is chosen.
        context: (tokens,) ids.
        generated: (steps,) ids written.
        needle: half-open positions in the context.

    Returns:
        (layers, heads) float64.
    """
    start, end = needle
    inside = (looks >= start) & (looks < end)
    copied = inside & (context[np.where(inside, looks, start)] == generated[:, None, None])
    scores: NDArray[np.float64] = copied.sum(axis=0) / (end - start)
    return scores


def mass_scores(documents: Floats, gold: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The calibrated attention that each head gives to the gold documents (QRHead, detection on LongMemEval).

    Args:
        documents: (heads, documents) calibrated document scores of one question.
        gold: (documents,) which are relevant.

    Returns:
        (heads,) float64, to be averaged over questions.
    """
    scores: NDArray[np.float64] = documents[:, gold].sum(axis=1, dtype=np.float64)
    return scores


def ndcg_scores(documents: Floats, gold: NDArray[np.bool_], *, k: int = 10) -> NDArray[np.float64]:
    """nDCG@k of the ranking each head alone gives (QRHead, detection on BEIR's NQ); equal scores keep their order."""
    order = np.argsort(-documents, axis=1, kind="stable")[:, :k]
    discounts = 1 / np.log2(np.arange(2, order.shape[1] + 2))
    ideal = discounts[: int(gold.sum())].sum()
    found = (gold[order] * discounts).sum(axis=1)
    return found / ideal if ideal > 0 else np.zeros(len(documents))


def contrastive_scores(documents: Floats, gold: NDArray[np.bool_], *, temperature: float = 1.0) -> NDArray[np.float64]:
    """The share of the gold documents in the softmax over all, so that attention to the others counts against a head.

    The idea of CoRe heads (arXiv 2510.02219); its exact formula and temperature were not checked.
    """
    logits = documents.astype(np.float64) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = weights[:, gold].sum(axis=1) / weights.sum(axis=1)
    return shares


def best_heads(scores: Floats, count: int) -> tuple[Head, ...]:
    """The `count` heads with the highest scores, best first, equal ones by layer and head.

    Args:
        scores: (layers, heads).
    """
    order = np.argsort(-scores.ravel(), kind="stable")[:count]
    return tuple(Head(int(at) // scores.shape[1], int(at) % scores.shape[1]) for at in order)


def layers_needed(heads: Sequence[Head]) -> int:
    """How many layers must be run for these heads: the forward pass may stop behind the last."""
    return max((head.layer for head in heads), default=-1) + 1
