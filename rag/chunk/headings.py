"""Chunking along a document's structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import Packing, Size, chunk_of, open_packing, spans
from rag.chunk.specs import Unit
from rag.embed.base import Tokenizer
from rag.types import Chunk, Document, Part

_OPENING_LEVEL = 7  # of what stands before the first heading: deeper than any heading, so that nothing is put to it
_WITH_SECTIONS = ("chapter", "sheet", "slide")


@dataclass(frozen=True, slots=True)
class _Section:
    """The text from one heading to the next, the atoms ``[first, last)``; `bare` if it is nothing but the heading."""

    level: int
    first: int
    last: int
    bare: bool = False


class HeadingsChunker:
    """Whole sections; a chunk never crosses the border between two, unless `merge` puts short ones together.

    Sections begin at headings, chapters, sheets and slides. One that is too long is cut as `RecursiveChunker` does, but
    a table or a block of code that fits is kept whole, a table that does not keeps its first row with the second, and a
    heading stays with the beginning of its text. `merge` fills a chunk with the sections below its first one and with
    that one's siblings while they fit, and never leaves a heading alone that has sections below it.
    """

    def __init__(self, tokenizer: Tokenizer, *, unit: Unit, size: int, merge: bool = True) -> None:
        self.counter = AtomCounter(tokenizer)
        self.unit = unit
        self.size = size
        self.merge = merge

    def chunk(self, document: Document) -> list[Chunk]:
        size = Size.of(self.counter.tokenizer, unit=self.unit, size=self.size)
        packing = open_packing(self.counter, document.text, size)
        if len(packing.atoms) == 0:
            return []
        for part in document.layout.parts:
            _keep_together(packing, part)
        sections = _sections(packing, document.layout.parts)
        if self.merge:
            sections = list(_merged(packing, sections))
        ranges = [chunk for section in sections for chunk in packing.pack(section.first, section.last)]
        return [chunk_of(document, *span) for span in spans(self.counter, packing, ranges)]


def _sections(packing: Packing, parts: tuple[Part, ...]) -> list[_Section]:
    starts = packing.atoms.starts
    levels: dict[int, int] = {0: _OPENING_LEVEL}
    heading_ends: dict[int, int] = {}
    for part in parts:
        if part.kind != "heading" and part.kind not in _WITH_SECTIONS:
            continue
        first = int(np.searchsorted(starts, part.start))
        levels[first] = min(part.level if part.kind == "heading" else 0, levels.get(first, _OPENING_LEVEL))
        if part.kind == "heading":
            heading_ends[first] = int(np.searchsorted(starts, part.end))
    firsts = sorted(first for first in levels if first < len(starts))
    lasts = [*firsts[1:], len(starts)]
    return [_Section(levels[a], a, b, bare=heading_ends.get(a, a) >= b) for a, b in zip(firsts, lasts, strict=True)]


def _merged(packing: Packing, sections: list[_Section]) -> Iterator[_Section]:
    group = sections[0]
    for section in sections[1:]:
        below = section.level > group.level
        if (below and group.bare) or (section.level >= group.level and packing.fits(group.first, section.last)):
            group = _Section(group.level, group.first, section.last, bare=group.bare and section.bare)
        else:
            yield group
            group = section
    yield group


def _keep_together(packing: Packing, part: Part) -> None:
    starts = packing.atoms.starts
    first, last = int(np.searchsorted(starts, part.start)), int(np.searchsorted(starts, part.end))
    if part.kind == "heading":
        packing.glue(last, last + 1)
    elif part.kind in ("table", "code") and first < last:
        if packing.fits(first, last):
            packing.glue(first + 1, last)
        elif part.kind == "table" and (row_end := packing.text.find("\n", part.start, part.end)) >= 0:
            packing.glue(first + 1, int(np.searchsorted(starts, row_end)) + 1)
