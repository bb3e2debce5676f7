"""The sentences of ranked chunks, each with what stands over it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rag.text.sentences import sentences
from rag.types import Chunk, Document, Span

if TYPE_CHECKING:
    from rag.index.reader import Reader


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a ranked chunk.

    Attributes:
        chunk: at which position of the ranking its chunk stands, from 0.
        heading: the title and the headings over it, outermost first, joined by `` > ``.
        place: how many sentences stand between it and the nearest heading; ``None`` where there is no heading, or
            where it stands in an earlier chunk with text between.
    """

    span: Span
    text: str
    chunk: int
    heading: str = ""
    place: int | None = None

    @property
    def in_context(self) -> str:
        """The sentence under its heading: "He joined in 1974." alone does not say who."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


def sentences_of(chunks: Sequence[Chunk], reader: Reader) -> list[Sentence]:
    """The sentences of all chunks, chunk by chunk; one that lies in two overlapping chunks only once.

    Headings are no sentences, they are what stands over these; only a chunk that is nothing but headings gives them.
    """
    outlines: dict[str, Outline] = {}
    seen: dict[Span, Sentence] = {}
    for at, chunk in enumerate(chunks):
        key = chunk.document_id
        if key not in outlines:
            outlines[key] = Outline(reader.document(key))
        for sentence in _of_chunk(chunk, at, outlines[key]):
            seen.setdefault(sentence.span, sentence)
    return list(seen.values())


class Outline:
    """Where a document's headings stand, and what they say down to each."""

    def __init__(self, document: Document) -> None:
        self.text = document.text
        self.headings = sorted(
            (part for part in document.layout.parts if part.kind == "heading"), key=lambda part: part.start
        )
        self.starts = [part.start for part in self.headings]
        title = document.meta.get("title")
        self.title = " ".join(title.split()) if isinstance(title, str) else ""
        self._trails = list(self._made())

    def _made(self) -> Iterator[str]:
        trail: list[tuple[int, str]] = []
        for part in self.headings:
            trail = [each for each in trail if each[0] < part.level] + [(part.level, " ".join(part.name.split()))]
            yield " > ".join(dict.fromkeys(name for name in (self.title, *(name for _, name in trail)) if name))

    def over(self, start: int) -> tuple[str, int | None]:
        """The headings over an offset, and where the nearest one ends; the start of a text that has but a title."""
        at = bisect_right(self.starts, start) - 1
        if at < 0:
            return self.title, 0 if self.title else None
        return self._trails[at], self.headings[at].end

    def edges(self, start: int, end: int) -> list[int]:
        """Where headings begin and end inside ``(start, end)``: no sentence goes on there."""
        inside = self.headings[max(0, bisect_left(self.starts, start) - 1) : bisect_left(self.starts, end)]
        return sorted({edge for part in inside for edge in (part.start, part.end) if start < edge < end})

    def is_heading(self, start: int, end: int) -> bool:
        at = bisect_right(self.starts, start) - 1
        return at >= 0 and end <= self.headings[at].end


def _of_chunk(chunk: Chunk, at: int, outline: Outline) -> list[Sentence]:
    found: list[Sentence] = []
    headings: list[Sentence] = []
    nearest: int | None = None
    place: int | None = None
    for start, end in _cut(chunk, outline):
        text = chunk.text[start - chunk.span.start : end - chunk.span.start]
        span = Span(chunk.document_id, start, end)
        heading, above = outline.over(start)
        if outline.is_heading(start, end):
            headings.append(Sentence(span, text, at))
            continue
        if above is None:
            place = None
        elif above != nearest:
            nearest = above
            place = 0 if not outline.text[above:start].strip() else None
        elif place is not None:
            place += 1
        found.append(Sentence(span, text, at, heading, place))
    return found or headings


def _cut(chunk: Chunk, outline: Outline) -> Iterator[tuple[int, int]]:
    """Offsets of the document at which the chunk's sentences start and end; a heading's edge ends one too."""
    first = chunk.span.start
    for start, end in sentences(chunk.text):
        for one, other in pairwise((first + start, *outline.edges(first + start, first + end), first + end)):
            piece = chunk.text[one - first : other - first]
            if stripped := piece.strip():
                lead = len(piece) - len(piece.lstrip())
                yield one + lead, one + lead + len(stripped)
