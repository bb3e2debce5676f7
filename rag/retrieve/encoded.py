"""Retrieval over what an encoder made of every chunk: token vectors, weighted terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from rag.retrieve.hits import MARGIN, nothing, retrieve
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask, SparseIndex
    from rag.index.reader import Reader
    from rag.resources import Resources


class EncodedRetriever:
    """The `k` best chunks of each query in an index of its own, of those its filter and principals allow.

    Args:
        open_index: makes the index over one generation; asked again when there is a newer one.
    """

    def __init__(
        self, resources: Resources, *, k: int, origin: str, open_index: Callable[[Reader], SparseIndex]
    ) -> None:
        self.resources = resources
        self.k = k
        self.origin = origin
        self.open_index = open_index
        self._lock = Lock()
        self._opened: tuple[Reader, SparseIndex] | None = None

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        if reader.size == 0:
            return nothing(queries)
        index = self._index(reader)

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            return index.search([queries[at].text for at in positions], k=self.k + MARGIN, allowed=allowed)

        return retrieve(queries, reader, search, k=self.k, origin=self.origin)

    def _index(self, reader: Reader) -> SparseIndex:
        with self._lock:
            if self._opened is None or self._opened[0] is not reader:
                self._opened = reader, self.open_index(reader)
            return self._opened[1]
