"""Sum of standardised scores, over the whole collection or over what was retrieved."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from rag.errors import ConfigError
from rag.retrieve.lists import Key, clean, combine, mean_and_deviation, weights_for
from rag.types import Background, Chunk, Ranking, ScoredChunk

logger = logging.getLogger(__name__)


class CollectionZScoreFuser:
    """The weighted sum of ``(score - mean) / sd`` with mean and population sd over all chunks the query may see.

    Every candidate of the union gets every retriever's true score, so no list has gaps. A retriever that tells no chunk
    apart has deviation 0 and adds 0; one to which a chunk stands out says so in its own unit, however few it retrieved.
    That is why this holds up where one retriever is blind and rank fusion averages the good ranking away.

    Raises:
        ConfigError: a ranking has no background, as after a foreign retriever.
    """

    def __init__(self, *, keep: int, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        backgrounds = [background_of(ranking, at=at, use="zscore") for at, ranking in enumerate(rankings)]
        lists = clean(rankings)
        chunks = list({hit.chunk.key: hit.chunk for hits in lists for hit in hits}.values())
        sums = [0.0] * len(chunks)
        for background, weight in zip(backgrounds, weights, strict=True):
            sums = [total + weight * value for total, value in zip(sums, standardised(chunks, background), strict=True)]
        scored = [ScoredChunk(chunk, value, "zscore") for chunk, value in zip(chunks, sums, strict=True)]
        return Ranking.of(scored, keep=self.keep)


class ListZScoreFuser:
    """The weighted sum of ``(score - mean) / sd`` with mean and population sd of each list; 0 where sd is 0.

    A list that lacks a chunk adds the list's smallest value: 0 would say that the chunk is average.
    """

    def __init__(self, *, keep: int, weights: Sequence[float] | None = None) -> None:
        self.keep = keep
        self.weights = weights

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        weights = weights_for(self.weights, rankings)
        lists = clean(rankings)
        keys = {hit.chunk.key for hits in lists for hit in hits}
        parts: list[dict[Key, float]] = []
        for hits in lists:
            given = _of_list(hits)
            lowest = min(given.values(), default=0.0)
            parts.append({key: given.get(key, lowest) for key in keys})
        return combine(lists, parts, weights, keep=self.keep, origin="zscore")


def background_of(ranking: Ranking, *, at: int, use: str) -> Background:
    """The ranking's background, which the fuser `use` cannot do without.

    Raises:
        ConfigError: the ranking, the `at`-th from 0, has none.
    """
    if ranking.background is None:
        raise ConfigError(
            f"ask.fuse: `{use}` over the collection needs each retriever's distribution; ranking {at + 1} has none",
            hint="use {use: zscore, over: list} or {use: rrf}, which look at the retrieved chunks alone",
        )
    return ranking.background


def standardised(chunks: Sequence[Chunk], background: Background) -> list[float]:
    """``(score - mean) / sd`` of each chunk; 0 where sd is 0, the lowest where a score is not finite."""
    if not chunks or not background.deviation > 0:  # also where it is not a number
        return [0.0] * len(chunks)
    values = [(score - background.mean) / background.deviation for score in background.score(chunks)]
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(chunks):
        logger.warning("%d of %d scores are not finite: taken as the lowest", len(chunks) - len(finite), len(chunks))
        lowest = min(finite, default=0.0)
        return [value if math.isfinite(value) else lowest for value in values]
    return values


def _of_list(hits: Sequence[ScoredChunk]) -> dict[Key, float]:
    mean, deviation = mean_and_deviation([hit.score for hit in hits])
    if deviation == 0:
        return {hit.chunk.key: 0.0 for hit in hits}
    return {hit.chunk.key: (hit.score - mean) / deviation for hit in hits}
