"""The rerank stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Query, Ranking


class Reranker(Protocol):
    """Orders each ranking again. Never adds a chunk; keeps at most as many as its spec says; empty stays empty."""

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]: ...
