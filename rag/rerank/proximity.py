"""How near to each other the words of a question stand in a text: the sequential dependence model's two windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

WINDOW = 8
"""Terms further apart than this are not near: the window of Metzler and Croft for pairs."""
SATURATION = 1.2
"""A pair that occurs n times counts ``n / (n + 1.2)``, as BM25's usual k1 has it for words."""


@dataclass(frozen=True, slots=True)
class Proximity:
    """Shares, 0 to 1, of the question's pairs of neighbouring terms that a text has: in place, and near each other."""

    phrases: float
    near: float


def proximity(question: Sequence[str], text: Sequence[str], weights: Mapping[str, float]) -> Proximity:
    """The sequential dependence model (Metzler and Croft, SIGIR 2005) without its single terms.

    Only terms that stand side by side in the question make a pair, so the cost grows with its length, not its square.

    Args:
        question, text: terms in their order.
        weights: how much a term tells; a pair counts as much as its lesser term. Those without one make no pair.

    >>> proximity(["annual", "leave", "days"], ["days", "of", "annual", "leave"], {"annual": 1, "leave": 1, "days": 1})
    Proximity(phrases=0.22727272727272727, near=0.45454545454545453)
    """
    pairs = [(one, other) for one, other in pairwise(question) if one != other and one in weights and other in weights]
    told = [min(weights[one], weights[other]) for one, other in pairs]
    total = sum(told) or 1.0
    places: dict[str, list[int]] = {term: [] for pair in pairs for term in pair}
    for at, term in enumerate(text):
        if term in places:
            places[term].append(at)
    phrases = near = 0.0
    for (one, other), weight in zip(pairs, told, strict=True):
        gaps = [after - before for before in places[one] for after in places[other] if abs(after - before) < WINDOW]
        phrases += weight * _saturated(gaps.count(1))
        near += weight * _saturated(len(gaps))
    return Proximity(phrases / total, near / total)


def _saturated(count: int) -> float:
    return count / (count + SATURATION)
