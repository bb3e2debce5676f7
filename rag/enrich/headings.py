"""The title and the headings above a chunk, and the header of its table, as its context."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from rag.types import Chunk, Document, Part

SEPARATOR = " > "
_UNDER_NAMES = frozenset(" |:-")  # the signs of the line that divides the names of a Markdown table from its rows
_LONGEST_UNDER_NAMES = 2000


class HeadingsEnricher:
    """Sets `context` to ``Title > Chapter > Section``, so that a chunk is found by words that stand only above it.

    A heading that the chunk itself begins with is not repeated. A context longer than `characters` loses its outermost
    headings; the innermost one is cut at a word if it alone is too long. Any context a chunk already has stays behind
    the new one.

    A chunk that begins inside a Markdown table has the names of the columns as a second line. In other formats they
    stand in the rows (`rag.load.parsers.rows`).
    """

    def __init__(self, *, title: bool = True, characters: int = 200) -> None:
        self.title = title
        self.characters = characters

    def enrich(self, chunks: Sequence[Chunk], document: Document) -> list[Chunk]:
        paths = _heading_paths([chunk.span.start for chunk in chunks], document)
        tables = [part for part in document.layout.parts if part.kind == "table"]
        starts = [table.start for table in tables]
        below = [bisect_left(starts, chunk.span.start) - 1 for chunk in chunks]  # the last table that begins before it
        named = [
            self._with_columns(chunk, tables[at], document) if at >= 0 else chunk
            for chunk, at in zip(chunks, below, strict=True)
        ]
        return [self._enriched(chunk, path, document) for chunk, path in zip(named, paths, strict=True)]

    def _with_columns(self, chunk: Chunk, table: Part, document: Document) -> Chunk:
        text = document.text
        names_end = text.find("\n", table.start, min(table.end, table.start + self.characters + 1))
        under_end = text.find("\n", names_end + 1, min(table.end, names_end + _LONGEST_UNDER_NAMES))
        under = text[names_end + 1 : under_end]
        if not 0 <= names_end < under_end <= chunk.span.start < table.end or "-" not in under:
            return chunk
        if not _UNDER_NAMES.issuperset(under.strip()):
            return chunk
        names = text[table.start : names_end].strip()
        return replace(chunk, context=f"{names}\n{chunk.context}" if chunk.context else names)

    def _enriched(self, chunk: Chunk, path: tuple[str, ...], document: Document) -> Chunk:
        title = document.meta.get("title")
        names = (title, *path) if self.title and isinstance(title, str) else path
        context = self._shortened(_without_repeats(names, chunk.text))
        if not context:
            return chunk
        return replace(chunk, context=f"{context}\n{chunk.context}" if chunk.context else context)

    def _shortened(self, names: list[str]) -> str:
        while len(names) > 1 and len(SEPARATOR.join(names)) > self.characters:
            names = names[1:]
        context = SEPARATOR.join(names)
        if len(context) <= self.characters:
            return context
        cut = context[: self.characters]
        return cut.rsplit(maxsplit=1)[0] if " " in cut else cut


def _heading_paths(starts: Sequence[int], document: Document) -> list[tuple[str, ...]]:
    """The headings above each offset, outermost first; one pass over the document's parts."""
    headings = [part for part in document.layout.parts if part.kind == "heading"]
    paths: list[tuple[str, ...]] = []
    trail: list[tuple[int, str]] = []
    at = 0
    for start in starts:
        while at < len(headings) and headings[at].start <= start:
            heading = headings[at]
            trail = [(level, name) for level, name in trail if level < heading.level]
            trail.append((heading.level, heading.name))
            at += 1
        paths.append(tuple(name for _, name in trail))
    return paths


def _without_repeats(names: Sequence[str], text: str) -> list[str]:
    kept: list[str] = []
    for name in (" ".join(name.split()) for name in names):
        if name and name not in kept:
            kept.append(name)
    first_line = " ".join(text.lstrip("# \t").split("\n", 1)[0].split())
    if kept and kept[-1] == first_line:
        kept.pop()
    return kept
