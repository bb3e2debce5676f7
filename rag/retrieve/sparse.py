"""Sparse retrieval: chunks that share the query's terms, by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.errors import ConfigError
from rag.retrieve.hits import MARGIN, retrieve
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask
    from rag.resources import Resources


class SparseRetriever:
    """The `k` best chunks of each query, of those its filter and principals allow; none without a shared term.

    Raises:
        ConfigError: the index holds no terms.
    """

    def __init__(self, resources: Resources, *, k: int) -> None:
        self.resources = resources
        self.k = k

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        index = reader.sparse
        if index is None:
            raise ConfigError(
                "ask.retrieve: `sparse` needs terms, the index has none",
                hint="set ingest.index.sparse and run `rag ingest` again, or retrieve with `dense` alone",
            )

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            return index.search([queries[at].words for at in positions], k=self.k + MARGIN, allowed=allowed)

        return retrieve(queries, reader, search, k=self.k, origin="sparse")
