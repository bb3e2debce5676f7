"""The compress stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Evidence, Query, Ranking


class Compressor(Protocol):
    """Keeps what the answer needs of the ranked chunks, as evidence with exact spans, in the order it is to be read."""

    def compress(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[tuple[Evidence, ...]]: ...
