"""Hits and scores by row of the index, for fusers that need not look at chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, overload

from rag.types import Background, Chunk, ScoredChunk

if TYPE_CHECKING:
    from rag.index.base import Rows, Scores


class RowHits(Sequence[ScoredChunk]):
    """The hits of one search, best first, as a `Ranking` holds them; a `ScoredChunk` of each is made at the first look.

    Most rankings are fused and never looked at. A fuser of rankings of one numbering goes by `rows`, and hashes no
    chunk.

    Attributes:
        chunks: those of `rows`, with the scores of `scores`.
        numbering: what the rows are rows of (`rag.index.reader.Reader.numbering`).
    """

    def __init__(
        self, chunks: Sequence[Chunk], rows: Sequence[int], scores: Sequence[float], *, origin: str, numbering: str
    ) -> None:
        self.chunks = chunks
        self.rows = rows
        self.scores = scores
        self.origin = origin
        self.numbering = numbering

    @cached_property
    def _made(self) -> tuple[ScoredChunk, ...]:
        return tuple(
            ScoredChunk(chunk, score, self.origin) for chunk, score in zip(self.chunks, self.scores, strict=True)
        )

    @property
    def finite(self) -> bool:
        """Whether all scores are: they fall, so the first and the last tell."""
        return not self.scores or (isfinite(self.scores[0]) and isfinite(self.scores[-1]))

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[ScoredChunk]:
        return iter(self._made)

    @overload
    def __getitem__(self, at: int) -> ScoredChunk: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[ScoredChunk, ...]: ...
    def __getitem__(self, at: int | slice) -> ScoredChunk | tuple[ScoredChunk, ...]:
        return self._made[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._made == tuple(other)

    def __repr__(self) -> str:
        return repr(self._made)


@dataclass(frozen=True, slots=True)
class RowBackground(Background):
    """A background that also scores rows of `numbering`."""

    numbering: str
    score_rows: Callable[[Rows], Scores]
