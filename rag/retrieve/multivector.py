"""Late interaction as a first stage: chunks by MaxSim over token vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from rag.retrieve.hits import MARGIN, nothing, retrieve
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask
    from rag.index.multivector import MultiVectorIndex
    from rag.index.reader import Reader
    from rag.models.token_encoder import TokenEncoder
    from rag.resources import Resources


class MultiVectorRetriever:
    """The `k` chunks whose tokens match the question's best, of those its filter and principals allow.

    Scores are sums over the question's tokens, so those of two questions do not compare; nothing is found for a
    question without tokens.
    """

    def __init__(
        self,
        resources: Resources,
        encoder: TokenEncoder,
        *,
        k: int,
        open_index: Callable[[Reader], MultiVectorIndex],
    ) -> None:
        self.resources = resources
        self.encoder = encoder
        self.k = k
        self.open_index = open_index
        self._lock = Lock()
        self._opened: tuple[Reader, MultiVectorIndex] | None = None

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        if reader.size == 0:
            return nothing(queries)
        index = self._index(reader)
        vectors = self.encoder.encode_queries([query.text for query in queries])

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            return index.search([vectors[at] for at in positions], k=self.k + MARGIN, allowed=allowed)

        return retrieve(queries, reader, search, k=self.k, origin="multivector")

    def _index(self, reader: Reader) -> MultiVectorIndex:
        with self._lock:
            if self._opened is None or self._opened[0] is not reader:
                self._opened = reader, self.open_index(reader)
            return self._opened[1]
