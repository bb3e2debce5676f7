"""From chunks to wider stretches of their documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from rag.text.sentences import sentences
from rag.types import Chunk, Document, Ranking, ScoredChunk, Span

if TYPE_CHECKING:
    from rag.index.reader import Reader

Range: TypeAlias = tuple[int, int]


def widened(ranking: Ranking, reader: Reader, widen: Callable[[Document, Chunk], Range]) -> Ranking:
    """Each chunk replaced by the range of its document that `widen` gives; ranges that overlap become one.

    A range is stretched to hold its chunk, and white space at its ends is left out. A stretch of several chunks has the
    context, the metadata and the place of the first and the best score.
    """
    stretches: dict[str, list[_Stretch]] = {}
    for place, hit in enumerate(ranking):
        document = reader.document(hit.chunk.document_id)
        start, end = widen(document, hit.chunk)
        start, end = _stripped(document.text, min(start, hit.chunk.span.start), max(end, hit.chunk.span.end))
        found = stretches.setdefault(document.id, [])
        new = _Stretch(start, end, [(place, hit)])
        for other in [other for other in found if other.start < new.end and new.start < other.end]:
            new = _Stretch(min(new.start, other.start), max(new.end, other.end), other.hits + new.hits)
            found.remove(other)
        found.append(new)
    placed = [
        (min(place for place, _ in stretch.hits), stretch.hit(reader.document(document_id)))
        for document_id, found in stretches.items()
        for stretch in found
    ]
    return Ranking(tuple(hit for _, hit in sorted(placed, key=lambda one: one[0])))


class _Stretch:
    """A range of a document, and the hits in it with their places in the ranking."""

    def __init__(self, start: int, end: int, hits: list[tuple[int, ScoredChunk]]) -> None:
        self.start = start
        self.end = end
        self.hits = hits

    def hit(self, document: Document) -> ScoredChunk:
        _, first = min(self.hits, key=lambda one: one[0])
        span = Span(document.id, self.start, self.end)
        text = document.text[self.start : self.end]
        chunk = replace(first.chunk, span=span, text=text)
        return ScoredChunk(chunk, max(hit.score for _, hit in self.hits), first.origin)


def sentences_around(text: str, start: int, end: int, *, reach: int) -> list[Range]:
    """The sentences of the paragraphs that begin or end within `reach` code points of ``[start, end)``, in order.

    They are what `rag.text.sentences.sentences` finds in the whole text, for no sentence goes over an empty line; a
    book is not read for one page of it.
    """
    first = max(_behind(text, "\n\n", max(0, start - reach)), _behind(text, "\n\r\n", max(0, start - reach)))
    last = min(_before(text, "\n\n", min(len(text), end + reach)), _before(text, "\n\r\n", min(len(text), end + reach)))
    return [(first + begin, first + finish) for begin, finish in _sentences(text[first:last])]


@lru_cache(maxsize=64)
def _sentences(text: str) -> tuple[Range, ...]:
    """Remembered, since the hits of a document without empty lines all ask for the whole of it."""
    return tuple(sentences(text))


def _behind(text: str, empty_line: str, at: int) -> int:
    found = text.rfind(empty_line, 0, at)
    return 0 if found < 0 else found + len(empty_line)


def _before(text: str, empty_line: str, at: int) -> int:
    found = text.find(empty_line, at)
    return len(text) if found < 0 else found + 1


def _stripped(text: str, start: int, end: int) -> Range:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
