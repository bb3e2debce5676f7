"""Dense retrieval: nearest chunks by inner product of unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.errors import ConfigError
from rag.retrieve.hits import MARGIN, nothing, retrieve
from rag.retrieve.question_vectors import question_vectors
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask
    from rag.resources import Resources


class DenseRetriever:
    """The `k` chunks nearest to each query, of those its filter and principals allow. Scores are cosines.

    Raises:
        ConfigError: the index holds no vectors.
    """

    def __init__(self, resources: Resources, *, k: int) -> None:
        self.resources = resources
        self.k = k

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        if reader.size == 0:  # there may be no vectors because there is nothing to embed
            return nothing(queries)
        index = reader.dense
        if index is None:
            raise ConfigError(
                "ask.retrieve: `dense` needs vectors, the index has none",
                hint="set ingest.index.dense and run `rag ingest` again, or retrieve with `sparse` alone",
            )
        vectors = question_vectors(queries, self.resources.embedder)

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            return index.search(vectors[list(positions)], k=self.k + MARGIN, allowed=allowed)

        return retrieve(queries, reader, search, k=self.k, origin="dense")
