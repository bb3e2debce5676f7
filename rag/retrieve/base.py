"""The retrieve and fuse stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Query, Ranking


class Retriever(Protocol):
    """First-stage retrieval: the `k` best chunks of the whole index for each query, filter and access applied first."""

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]: ...


class Fuser(Protocol):
    """Makes one ranking of several for the same question; best first, ties by chunk id."""

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking: ...
