"""Whether what a generator is given is worth reading: the definitions of ragas (Es et al., arXiv 2309.15217)."""

from __future__ import annotations

from collections.abc import Sequence


def context_precision(relevant: Sequence[bool]) -> float:
    """Mean of the precision at the rank of each relevant chunk, over the relevant chunks that were found.

    Says whether the relevant stand before the others; what was not found at all does not count. None relevant is 0.

    Args:
        relevant: for each chunk, best first, whether it is.

    >>> round(context_precision([True, False, True]), 4), round(context_precision([False, False, True]), 4)
    (0.8333, 0.3333)
    """
    seen, total = 0, 0.0
    for rank, hit in enumerate(relevant, 1):
        if hit:
            seen += 1
            total += seen / rank
    return total / seen if seen else 0.0


def correctness(true_positive: int, false_positive: int, false_negative: int, *, similarity: float) -> float:
    """Answer correctness: 0.75 of the F1 of statements and 0.25 of the cosine of answer and reference.

    No statement on either side is an F1 of 1.

    >>> round(correctness(2, 1, 1, similarity=0.9), 3)
    0.725
    """
    total = 2 * true_positive + false_positive + false_negative
    f1 = 2 * true_positive / total if total else 1.0
    return 0.75 * f1 + 0.25 * similarity
