"""What every fuser does before and after its formula: clean the lists, find the weights, sum, sort, cut."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from rag.errors import ConfigError
from rag.types import Chunk, Ranking, ScoredChunk, Span

logger = logging.getLogger(__name__)

Key: TypeAlias = tuple[Span, str]
"""`Chunk.key`."""


def clean(rankings: Sequence[Ranking]) -> list[list[ScoredChunk]]:
    """The lists without scores that are not finite, best first, of a chunk given twice only its best place.

    A score that is not a number is no evidence for the chunk, and must not reach a comparison: how many there were is
    logged as a warning.
    """
    lists: list[list[ScoredChunk]] = []
    for ranking in rankings:
        best: dict[Key, ScoredChunk] = {}
        bad = 0
        for hit in ranking:
            if math.isfinite(hit.score):
                best.setdefault(hit.chunk.key, hit)
            else:
                bad += 1
        say_left_out(bad, ranking)
        lists.append(list(best.values()))
    return lists


def say_left_out(bad: int, ranking: Ranking) -> None:
    """Log how many of a ranking's scores are not finite, if any."""
    if bad:
        logger.warning("%d of %d scores of %s are not finite: left out", bad, len(ranking), ranking[0].origin)


def weights_for(weights: Sequence[float] | None, rankings: Sequence[Ranking]) -> list[float]:
    """One weight for each ranking: its query's, times the retriever's, which repeat with each query of a question.

    Raises:
        ConfigError: the number of rankings is not a multiple of the number of weights.
    """
    count = len(rankings)
    of_queries = [ranking.weight for ranking in rankings]
    if weights is None:
        return of_queries
    if not weights or count % len(weights):
        raise ConfigError(
            f"ask.fuse.weights: expected one weight for each retriever, got {len(weights)} for {count} rankings"
        )
    return [weight * weights[at % len(weights)] for at, weight in enumerate(of_queries)]


def combine(
    lists: Sequence[Sequence[ScoredChunk]],
    parts: Sequence[Mapping[Key, float]],
    weights: Sequence[float],
    *,
    keep: int,
    origin: str,
) -> Ranking:
    """Sum each chunk's weighted parts; best first, ties by chunk id, the first `keep`.

    Args:
        parts: for each list, what it says about each chunk; a chunk it lacks adds nothing.
    """
    chunks: dict[Key, Chunk] = {hit.chunk.key: hit.chunk for hits in lists for hit in hits}
    sums = dict.fromkeys(chunks, 0.0)
    for part, weight in zip(parts, weights, strict=True):
        for key, value in part.items():
            sums[key] += weight * value
    return Ranking.of([ScoredChunk(chunks[key], value, origin) for key, value in sums.items()], keep=keep)


def mean_and_deviation(scores: Sequence[float]) -> tuple[float, float]:
    """Mean and population standard deviation; (0, 0) of nothing. Equal scores have a deviation of exactly 0."""
    if not scores:
        return 0.0, 0.0
    if min(scores) == max(scores):
        return scores[0], 0.0
    mean = math.fsum(scores) / len(scores)
    return mean, math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
