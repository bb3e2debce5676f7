"""No compression: whole chunks as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.compress.base import Compression
from rag.compress.evidence import evidence
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.resources import Resources


class WholeChunks:
    """The best `keep` chunks of each ranking, whole, best first."""

    def __init__(self, resources: Resources, *, keep: int) -> None:
        self.resources = resources
        self.keep = keep

    def compress(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Compression]:
        if not any(rankings):
            return [Compression() for _ in rankings]
        reader = self.resources.index.reader()
        return [
            Compression(
                tuple(evidence(reader, hit.chunk, hit.chunk.span, score=hit.score) for hit in ranking.hits[: self.keep])
            )
            for ranking in rankings
        ]
