"""Ranking metrics on documents, as trec_eval defines them; each is one question's value.

A ranking is document ids, best first, none twice. `grades` maps the judged documents of the question to their grade:
above 0 is relevant, everything else, and every document without a grade, is not. Gains are linear. A cut-off `k` of
``None`` is the whole ranking. Every function raises `ValueError` where no document is relevant: such a question has no
value and belongs in no mean, while a question nothing was found for counts as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan, log2

Grades = Mapping[str, int]


def ranked(scored: Iterable[tuple[str, float]]) -> tuple[list[str], int]:
    """The ranking that scores stand for: falling score, ties by rising id, a repeated id by its best score.

    A NaN is no evidence: it ranks nothing and is counted. trec_eval breaks ties by falling id, so give it strictly
    falling scores (`exported`) to have it see this order.

    Returns:
        the ranking, and how many scores were NaN.

    >>> ranked([("b", 0.5), ("a", 0.5), ("c", float("nan")), ("b", 0.9)])
    (['b', 'a'], 1)
    """
    best: dict[str, float] = {}
    dropped = 0
    for document, score in scored:
        if isnan(score):
            dropped += 1
        elif document not in best or score > best[document]:
            best[document] = score
    return sorted(best, key=lambda document: (-best[document], document)), dropped


def exported(ranking: Sequence[str]) -> dict[str, float]:
    """Scores that fall strictly with the rank: a run that any tool reads in this order."""
    return {document: float(len(ranking) - rank) for rank, document in enumerate(ranking)}


def hit_rate(ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float:
    """1 if a relevant document is among the first `k`."""
    return float(any(_hits(ranking, grades, k)))


def recall(ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float:
    """Share of the relevant documents among the first `k`."""
    return sum(_hits(ranking, grades, k)) / _relevant(grades)


def precision(ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float:
    """Relevant documents among the first `k`, divided by `k` even where fewer were found."""
    found = _hits(ranking, grades, k)
    length = k or len(found)
    return sum(found) / length if length else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float:
    """1 / rank of the first relevant document, 0 if it is not among the first `k`."""
    return next((1 / rank for rank, hit in enumerate(_hits(ranking, grades, k), 1) if hit), 0.0)


def average_precision(ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float:
    """Mean over all relevant documents of the precision at their rank, 0 for those not among the first `k`."""
    total = seen = 0.0
    for rank, hit in enumerate(_hits(ranking, grades, k), 1):
        if hit:
            seen += 1
            total += seen / rank
    return total / _relevant(grades)


def ndcg(ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float:
    """Discounted cumulative gain at `k` over that of the ideal order of all judged documents (Järvelin, Kekäläinen).

    The gain is the grade, not ``2**grade - 1``; the discount ``log2(rank + 1)``.

    >>> round(ndcg(["d2", "d7", "d1"], {"d1": 1, "d2": 2, "d9": 1}, k=10), 6)
    0.798485
    """
    _hits(ranking, grades, k)
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    return _gain([max(0, grades.get(document, 0)) for document in ranking[:k]]) / _gain(ideal[:k])


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / log2(rank + 1) for rank, grade in enumerate(grades, 1) if grade)


def _hits(ranking: Sequence[str], grades: Grades, k: int | None) -> list[bool]:
    """Which of the first `k` are relevant, after checking what every metric takes for granted."""
    if k is not None and k < 1:
        raise ValueError(f"expected a cut-off of at least 1, got {k}")
    if len(set(ranking)) != len(ranking):
        raise ValueError("a ranking names a document twice")
    _relevant(grades)
    return [grades.get(document, 0) > 0 for document in ranking[:k]]


def _relevant(grades: Grades) -> int:
    count = sum(grade > 0 for grade in grades.values())
    if not count:
        raise ValueError("no document is relevant: the metric has no value")
    return count
