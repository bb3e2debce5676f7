"""What rerankers that score share: from scores back to a ranking, and when not to score at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rag.types import Ranking, Scalar, ScoredChunk


def reordered(
    ranking: Ranking,
    scores: Mapping[int, float],
    *,
    keep: int,
    origin: str | None,
    notes: Mapping[str, Scalar] | None = None,
) -> Ranking:
    """The ranking ordered by new scores, the best `keep` of it.

    Candidates without a score, or with one that is not finite, follow behind in the order they had and keep their
    origin. Equal scores keep the order they had. So that order and scores say the same, a score that would not fall is
    lowered to just under the one before.

    Args:
        scores: by position in `ranking`.
        origin: who made the scores; ``None`` if they are those of the ranking.
        notes: for the trace; `not_finite` is added where there are such scores.

    >>> from rag.testing.contracts import CHUNKS
    >>> given = Ranking(tuple(ScoredChunk(chunk, 1.0, "given") for chunk in CHUNKS[:4]))
    >>> after = reordered(given, {0: 0.2, 1: 0.9, 2: 0.9}, keep=4, origin="new")
    >>> [given.hits.index(ScoredChunk(hit.chunk, 1.0, "given")) for hit in after], [hit.origin for hit in after]
    ([1, 2, 0, 3], ['new', 'new', 'new', 'given'])
    """
    finite = {at: score for at, score in scores.items() if math.isfinite(score)}
    if len(finite) < len(scores):
        notes = {**(notes or {}), "not_finite": len(scores) - len(finite)}
    order = sorted(finite, key=lambda at: (-finite[at], at))
    order += [at for at in range(len(ranking)) if at not in finite]
    hits: list[ScoredChunk] = []
    last = math.inf
    for at in order[:keep]:
        hit = ranking[at]
        last = min(finite.get(at, hit.score), math.nextafter(last, -math.inf))
        hits.append(ScoredChunk(hit.chunk, last, origin if origin and at in finite else hit.origin))
    return Ranking(tuple(hits), notes=notes or {})


def in_order(
    ranking: Ranking, order: Sequence[int], *, keep: int, origin: str, notes: Mapping[str, Scalar] | None = None
) -> Ranking:
    """The ranking in a new order of its positions, for methods that give no scores: the score is 1 / place."""
    hits = tuple(ScoredChunk(ranking[at].chunk, 1 / place, origin) for place, at in enumerate(order[:keep], 1))
    return Ranking(hits, notes=notes or {})


def is_sure(ranking: Ranking, margin: float | None) -> bool:
    """Whether the first leads the second by at least `margin` of the distance from the first to the last.

    A ranking of one chunk, or none, leaves nothing to order. The measure has no unit, so it means the same for scores
    of every origin; without a margin only the trivial rankings are sure.
    """
    if len(ranking) < 2:
        return True
    if margin is None:
        return False
    first, second, last = ranking[0].score, ranking[1].score, ranking[len(ranking) - 1].score
    return first > last and (first - second) / (first - last) >= margin


def unchanged(ranking: Ranking, *, keep: int, why: str) -> Ranking:
    """The best `keep` as they came, with the reason in the notes."""
    return Ranking(ranking.hits[:keep], notes={"skipped": why})
