"""The chunks of several rankings together, with the score that every retriever gives to each."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError
from rag.retrieve.lists import Key, say_left_out
from rag.retrieve.row_hits import RowBackground, RowHits
from rag.types import Background, Chunk, Ranking, ScoredChunk

logger = logging.getLogger(__name__)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The union of rankings whose retrievers know the distribution of their scores.

    Attributes:
        chunks: each chunk once.
        backgrounds: those of the rankings.
        scores: (rankings, chunks), what each retriever gives to each.
    """

    chunks: Sequence[Chunk]
    backgrounds: Sequence[Background]
    scores: Values

    @staticmethod
    def of(rankings: Sequence[Ranking], *, use: str) -> Candidates:
        """What the fuser `use` chooses from. Scores that are not finite are left out, with a warning in the log.

        Raises:
            ConfigError: a ranking has no background, as after a foreign retriever.
        """
        backgrounds = [_background_of(ranking, at=at, use=use) for at, ranking in enumerate(rankings)]
        chunks, scores = _by_row(rankings) or _by_chunk(rankings, backgrounds)
        return Candidates(chunks, backgrounds, scores)

    def standardised(self) -> Values:
        """(rankings, chunks) the ``(score - mean) / sd`` of every chunk.

        0 where sd is 0; the ranking's lowest where a score is not finite.
        """
        means = np.array([[each.mean] for each in self.backgrounds])
        # A deviation that is no number is not above 0 either; by infinity everything is 0.
        deviations = np.array([[each.deviation if each.deviation > 0 else math.inf] for each in self.backgrounds])
        values: Values = (self.scores - means) / deviations
        finite = np.isfinite(values)
        if finite.all():
            return values
        logger.warning("%d of %d scores are not finite: taken as the lowest", np.count_nonzero(~finite), values.size)
        lowest = values.min(axis=1, keepdims=True, where=finite, initial=math.inf)
        return np.where(finite, values, np.where(np.isinf(lowest), 0.0, lowest))

    def best(self, sums: Values, *, keep: int, origin: str) -> Ranking:
        """Best first, ties by chunk id, the first `keep`."""
        places: Sequence[int] = range(len(sums))
        if len(sums) > keep:
            places = np.flatnonzero(sums >= np.partition(sums, len(sums) - keep)[len(sums) - keep]).tolist()
        return Ranking.of([ScoredChunk(self.chunks[at], float(sums[at]), origin) for at in places], keep=keep)


def _by_row(rankings: Sequence[Ranking]) -> tuple[list[Chunk], Values] | None:
    """Chunks and scores where a row means the same chunk in the hits and the background of every ranking."""
    numbering: str | None = None
    chunk_of: dict[int, Chunk] = {}
    lists: list[tuple[RowHits, RowBackground]] = []
    for ranking in rankings:
        hits, background = ranking.hits, ranking.background
        if not isinstance(hits, RowHits) or not isinstance(background, RowBackground) or not hits.finite:
            return None
        numbering = numbering or hits.numbering
        if hits.numbering != numbering or background.numbering != numbering:
            return None
        chunk_of |= zip(hits.rows, hits.chunks, strict=True)
        lists.append((hits, background))
    scores = np.empty((len(lists), len(chunk_of)))
    for mine, (hits, background) in zip(scores, lists, strict=True):
        known = dict(zip(hits.rows, hits.scores, strict=True))
        missing = [row for row in chunk_of if row not in known]
        if missing:
            known.update(zip(missing, background.score_rows(np.array(missing)).tolist(), strict=True))
        mine[:] = [known[row] for row in chunk_of]
    return list(chunk_of.values()), scores


def _by_chunk(rankings: Sequence[Ranking], backgrounds: Sequence[Background]) -> tuple[list[Chunk], Values]:
    places: dict[Key, int] = {}
    chunks: list[Chunk] = []
    known: list[dict[int, float]] = []
    for ranking in rankings:
        mine: dict[int, float] = {}
        bad = 0
        for hit in ranking:
            if not math.isfinite(hit.score):
                bad += 1
                continue
            place = places.setdefault(hit.chunk.key, len(chunks))
            if place == len(chunks):
                chunks.append(hit.chunk)
            mine.setdefault(place, hit.score)
        say_left_out(bad, ranking)
        known.append(mine)
    completed = [_completed(*each, chunks) for each in zip(backgrounds, known, strict=True)]
    return chunks, np.array(completed).reshape(len(rankings), len(chunks))


def _completed(background: Background, known: dict[int, float], chunks: Sequence[Chunk]) -> Values:
    scores = np.zeros(len(chunks))
    scores[list(known)] = list(known.values())
    missing = [place for place in range(len(chunks)) if place not in known]
    if missing and background.deviation > 0:  # or they count for nothing
        scores[missing] = background.score([chunks[place] for place in missing])
    return scores


def _background_of(ranking: Ranking, *, at: int, use: str) -> Background:
    if ranking.background is None:
        raise ConfigError(
            f"ask.fuse: `{use}` over the collection needs each retriever's distribution; ranking {at + 1} has none",
            hint="use {use: zscore, over: list} or {use: rrf}, which look at the retrieved chunks alone",
        )
    return ranking.background
