"""Documents, chunks, and where a stretch of text stands in them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Meta: TypeAlias = Mapping[str, Scalar]
PartKind: TypeAlias = Literal["page", "slide", "sheet", "chapter", "heading", "table", "code", "row"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range ``[start, end)`` of one document's text, in code points."""

    document_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a span needs 0 <= start <= end, got [{self.start}, {self.end}) in {self.document_id!r}")

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a document that its format names: page "12", slide "3", sheet "Prices", a heading, a table.

    `name` is the page or slide number as text, the sheet's name, or the heading's text. `level` is 1 to 6 for headings.
    A heading's range is the heading line itself, not the section under it.
    """

    kind: PartKind
    start: int
    end: int
    name: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Box:
    """Where a stretch of text stands on a page: points (1/72 inch) from the page's top left corner."""

    start: int
    end: int
    page: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The structure a parser found. `lines` is true where line n of the text is line n of the source file."""

    parts: tuple[Part, ...] = ()
    boxes: tuple[Box, ...] = ()
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """What a span resolves to in the source's own terms; empty where the format has no such thing."""

    pages: tuple[int, int] | None = None
    slides: tuple[int, int] | None = None
    sheet: str | None = None
    lines: tuple[int, int] | None = None
    headings: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()

    def __str__(self) -> str:
        """The short form people read: ``page 12``, ``slides 3-4``, ``sheet Prices``, ``lines 40-43``."""
        if self.pages:
            return _numbers("page", self.pages)
        if self.slides:
            return _numbers("slide", self.slides)
        if self.sheet is not None:
            return f"sheet {self.sheet}"
        if self.lines:
            return _numbers("line", self.lines)
        return f'section "{self.headings[-1]}"' if self.headings else ""


def _range(numbers: tuple[int, int]) -> str:
    first, last = numbers
    return str(first) if first == last else f"{first}-{last}"


def _numbers(word: str, numbers: tuple[int, int]) -> str:
    return f"{word}{'' if numbers[0] == numbers[1] else 's'} {_range(numbers)}"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed source. `text` is final: every offset in the system points into it.

    `id` is stable across runs (a path relative to the connector's root, a URL), `source` is what a person opens.
    `access` names the principals who may see it; ``None`` means that no access list was set, which a query with
    principals treats as forbidden.
    """

    id: str
    text: str
    source: str = ""
    meta: Meta = field(default_factory=dict)
    access: tuple[str, ...] | None = None
    layout: Layout = Layout()

    @cached_property
    def content_hash(self) -> str:
        """BLAKE2b-128 of the text, hexadecimal."""
        return blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @cached_property
    def _line_starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def locate(self, start: int, end: int) -> Location:
        """Resolve ``[start, end)`` to pages, slides, sheet, lines, the headings above it, and boxes."""
        last = max(start, end - 1)
        pages: list[int] = []
        slides: list[int] = []
        sheet: str | None = None
        trail: list[Part] = []
        for part in self.layout.parts:
            if part.kind == "heading":
                if part.start <= start:
                    trail = [p for p in trail if p.level < part.level] + [part]
            elif part.start <= last and part.end > start:
                if part.kind == "page":
                    pages.append(int(part.name))
                elif part.kind == "slide":
                    slides.append(int(part.name))
                elif part.kind == "sheet" and sheet is None:
                    sheet = part.name
        lines = None
        if self.layout.lines:
            lines = (bisect_right(self._line_starts, start), bisect_right(self._line_starts, last))
        return Location(
            pages=(min(pages), max(pages)) if pages else None,
            slides=(min(slides), max(slides)) if slides else None,
            sheet=sheet,
            lines=lines,
            headings=tuple(part.name for part in trail),
            boxes=tuple(box for box in self.layout.boxes if box.start < end and box.end > start),
        )


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A stretch of one document, the unit that is indexed and ranked.

    `context` is text that enrichment prepends for indexing only (a heading path, a summary): it is never cited and
    never part of the span. The id comes from document, offsets and text alone, so metadata, enrichment and models
    never change it. `access` is its document's.
    """

    span: Span
    text: str
    context: str = ""
    meta: Meta = field(default_factory=dict)
    access: tuple[str, ...] | None = field(default=None, compare=False)

    @property
    def document_id(self) -> str:
        return self.span.document_id

    @cached_property
    def id(self) -> str:
        digest = blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        return f"{self.span.document_id}#{self.span.start}-{self.span.end}-{digest}"

    @property
    def key(self) -> tuple[Span, str]:
        """Equal for the same chunks as `id`, and quick to compare: nothing is hashed that Python does not remember."""
        return self.span, self.text

    @property
    def indexed_text(self) -> str:
        """What the retrievers see: the context, a line break, the text."""
        return f"{self.context}\n{self.text}" if self.context else self.text
