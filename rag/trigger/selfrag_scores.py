"""How Self-RAG weighs its reflection tokens (Asai et al., arXiv 2310.11511). All of it on probabilities.

The released code compares log-probabilities as though they were probabilities where it decides whether to retrieve,
which turns the decision around; here they are not.
"""

from __future__ import annotations

from collections.abc import Sequence

USEFUL = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""What utility 1 to 5 counts."""


def share(yes: float, no: float) -> float:
    """How much of both is `yes`; 0 where the model gives neither.

    >>> round(share(0.3, 0.7), 3)
    0.3
    """
    return yes / (yes + no) if yes + no > 0 else 0.0


def support(full: float, partial: float, none: float) -> float:
    """1 for full support, 0.5 for partial, normalised over the three.

    >>> support(0.5, 0.25, 0.25)
    0.625
    """
    total = full + partial + none
    return (full + 0.5 * partial) / total if total > 0 else 0.0


def utility(marks: Sequence[float]) -> float:
    """-1 to 1, of the probabilities of the marks 1 to 5.

    >>> utility([0, 0, 0, 0.5, 0.5])
    0.75
    """
    total = sum(marks)
    return sum(mark * weight for mark, weight in zip(marks, USEFUL, strict=True)) / total if total > 0 else 0.0


def segment(*, relevance: float, support: float, utility: float) -> float:
    """The score of a sentence written from a passage, with the published weights.

    >>> segment(relevance=0.5, support=0.625, utility=0.75)
    1.5
    """
    return relevance + support + 0.5 * utility
