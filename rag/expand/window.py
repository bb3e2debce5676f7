"""Sentence-window retrieval: what stands beside a hit."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.expand.specs import WindowUnit
from rag.expand.stretch import Range, sentences_around, widened
from rag.types import Chunk, Document, Query, Ranking

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources

_REACH = 1000  # code points looked at on either side, doubled until there are sentences enough


class WindowExpander:
    """Adds `reach` sentences, or chunks, of the document on either side of each chunk.

    A chunk that begins or ends inside a sentence is first rounded up to whole sentences. Chunks are those of the index,
    in the order of their places; what stands between two of them is added with them.
    """

    def __init__(self, resources: Resources, *, unit: WindowUnit = "sentences", reach: int = 2) -> None:
        self.resources = resources
        self.unit = unit
        self.reach = reach

    def expand(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        if not any(rankings):
            return [Ranking() for _ in rankings]
        reader = self.resources.index.reader()
        widen = _Chunks(reader, self.reach) if self.unit == "chunks" else self._sentences
        return [widened(ranking, reader, widen) for ranking in rankings]

    def _sentences(self, document: Document, chunk: Chunk) -> Range:
        text, span, looked_at = document.text, chunk.span, _REACH
        while True:
            found = sentences_around(text, span.start, span.end, reach=looked_at)
            before = sum(end <= span.start for _, end in found)
            after = sum(start >= span.end for start, _ in found)
            if (before >= self.reach and after >= self.reach) or looked_at > len(text):
                break
            looked_at *= 2
        first, last = max(0, before - self.reach), min(len(found), len(found) - after + self.reach)
        return (found[first][0], found[last - 1][1]) if first < last else (span.start, span.end)


class _Chunks:
    """Neighbouring chunks of the index; each document's are read once."""

    def __init__(self, reader: Reader, reach: int) -> None:
        self.reader = reader
        self.reach = reach
        self._spans: dict[str, list[Range]] = {}

    def __call__(self, document: Document, chunk: Chunk) -> Range:
        if document.id not in self._spans:
            chunks = self.reader.chunks_of(document.id)
            self._spans[document.id] = [(one.span.start, one.span.end) for one in chunks]
        spans = self._spans[document.id]
        at = bisect_left(spans, (chunk.span.start, chunk.span.end))
        near = spans[max(0, at - self.reach) : at + self.reach + 1]
        return near[0][0], max(end for _, end in near)
