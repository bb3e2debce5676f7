"""The chunks of several rankings together, with the score that every retriever gives to each."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError
from rag.retrieve.lists import Key, say_left_out
from rag.types import Background, Chunk, Ranking, ScoredChunk

logger = logging.getLogger(__name__)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The union of rankings whose retrievers know the distribution of their scores.

    Attributes:
        chunks: each chunk once.
        backgrounds: those of the rankings.
        scores: for each ranking, the places in `chunks` of those it has, and their scores.
    """

    chunks: Sequence[Chunk]
    backgrounds: Sequence[Background]
    scores: Sequence[dict[int, float]]

    @staticmethod
    def of(rankings: Sequence[Ranking], *, use: str) -> Candidates:
        """What the fuser `use` chooses from. Scores that are not finite are left out, with a warning in the log.

        Raises:
            ConfigError: a ranking has no background, as after a foreign retriever.
        """
        backgrounds = [_background_of(ranking, at=at, use=use) for at, ranking in enumerate(rankings)]
        chunks: list[Chunk] = []
        places: dict[Key, int] = {}
        scores: list[dict[int, float]] = []
        for ranking in rankings:
            mine: dict[int, float] = {}
            bad = 0
            for hit in ranking.hits:
                if not math.isfinite(hit.score):
                    bad += 1
                    continue
                place = places.setdefault(hit.chunk.key, len(chunks))
                if place == len(chunks):
                    chunks.append(hit.chunk)
                mine.setdefault(place, hit.score)
            say_left_out(bad, ranking)
            scores.append(mine)
        return Candidates(chunks, backgrounds, scores)

    def standardised(self) -> Iterable[Values]:
        """For each ranking the ``(score - mean) / sd`` of every chunk, with the true score of one it does not have.

        0 where sd is 0; the lowest where a score is not finite.
        """
        for background, known in zip(self.backgrounds, self.scores, strict=True):
            if self.chunks and background.deviation > 0:  # false also where it is not a number
                values = (self._completed(background, known) - background.mean) / background.deviation
                yield _finite(values)
            else:
                yield np.zeros(len(self.chunks))

    def best(self, sums: Values, *, keep: int, origin: str) -> Ranking:
        """Best first, ties by chunk id, the first `keep`."""
        rows: Sequence[int] = range(len(sums))
        if len(sums) > keep:
            rows = np.flatnonzero(sums >= np.partition(sums, len(sums) - keep)[len(sums) - keep]).tolist()
        return Ranking.of([ScoredChunk(self.chunks[row], float(sums[row]), origin) for row in rows], keep=keep)

    def _completed(self, background: Background, known: dict[int, float]) -> Values:
        missing = [place for place in range(len(self.chunks)) if place not in known]
        scores = np.empty(len(self.chunks))
        scores[list(known)] = list(known.values())
        if missing:
            scores[missing] = background.score([self.chunks[place] for place in missing])
        return scores


def _background_of(ranking: Ranking, *, at: int, use: str) -> Background:
    if ranking.background is None:
        raise ConfigError(
            f"ask.fuse: `{use}` over the collection needs each retriever's distribution; ranking {at + 1} has none",
            hint="use {use: zscore, over: list} or {use: rrf}, which look at the retrieved chunks alone",
        )
    return ranking.background


def _finite(values: Values) -> Values:
    finite = np.isfinite(values)
    if finite.all():
        return values
    logger.warning("%d of %d scores are not finite: taken as the lowest", np.count_nonzero(~finite), len(values))
    return np.where(finite, values, values[finite].min() if finite.any() else 0.0)
