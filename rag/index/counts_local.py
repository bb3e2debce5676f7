"""Counts in the pipeline's own index."""

from __future__ import annotations

from rag.errors import CountsUnavailableError
from rag.index.counts import Count
from rag.index.directory import IndexDirectory
from rag.index.ngrams.index import NgramIndex


class LocalCounts:
    """Counts words in the documents of the newest generation that the index was opened at."""

    def __init__(self, index: IndexDirectory) -> None:
        self.index = index

    def count(self, phrase: str) -> Count:
        return self._ngrams.count(phrase)

    def cooccur(self, first: str, second: str, *, window: int) -> Count:
        return self._ngrams.cooccur(first, second, window=window)

    @property
    def _ngrams(self) -> NgramIndex:
        ngrams = self.index.reader().ngrams
        if ngrams is None:
            raise CountsUnavailableError(
                f"{self.index.path}: the index counts no phrases", hint="set `ingest.index.ngrams: {}`"
            )
        return ngrams
