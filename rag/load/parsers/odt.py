"""OpenDocument text: paragraphs, headings, lists, tables, notes and text frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.load.archive import Archive
from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.parsers.office import attribute, child, children, descendants, local, write_table
from rag.types import Scalar

if TYPE_CHECKING:
    from lxml.etree import _Element

_SKIPPED = frozenset(
    {"tracked-changes", "annotation", "annotation-end", "sequence-decls", "forms", "bibliography-mark"}
)
_MAX_REPEATED = 100  # spaces and cells are stored with a count, which a file may set to billions


@dataclass(frozen=True, slots=True)
class OdtParser:
    """The body of an OpenDocument text; deleted text and comments are not part of it."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        archive = Archive.open(data, self.limits)
        body = child(archive.xml("content.xml"), "body", "text")
        if body is None:
            raise ValueError("content.xml in it has no text body")
        builder = TextBuilder(self.limits)
        _write(body, builder, depth=0)
        return builder.parsed(_meta(archive))


def _write(container: _Element, builder: TextBuilder, *, depth: int) -> None:
    for element in container:
        name = local(element)
        if name == "h":
            level = attribute(element, "outline-level", "1")
            builder.heading(_line(element), int(level) if level.isdecimal() else 1)
        elif name == "p":
            _write_paragraph(element, builder, depth)
        elif name == "list":
            builder.break_lines(1 if depth else 2)
            _write(element, builder, depth=depth + 1)
            builder.break_lines(1 if depth else 2)
        elif name == "table":
            write_table(builder, ([_line(cell) for cell in _cells(row)] for row in descendants(element, "table-row")))
        elif name not in _SKIPPED and name:
            _write(element, builder, depth=depth)


def _write_paragraph(paragraph: _Element, builder: TextBuilder, depth: int) -> None:
    text = "\n".join(squeeze(line) for line in _text(paragraph).split("\n")).strip()
    if text and depth:
        builder.line("  " * (depth - 1) + "- " + text)
    elif text:
        builder.block(text)
        builder.break_lines(2)
    for frame in descendants(paragraph, "text-box"):
        _write(frame, builder, depth=0)
    for note in descendants(paragraph, "note"):
        body, citation = child(note, "note-body"), child(note, "note-citation")
        if body is not None:
            number = "" if citation is None else f" {_line(citation)}"
            builder.line(f"Note{number}: {_line(body)}")


def _cells(row: _Element) -> list[_Element]:
    cells = list(children(row, "table-cell", "covered-table-cell"))
    return [cell for cell in cells for _ in range(_repeated(cell, "number-columns-repeated"))]


def _repeated(element: _Element, name: str) -> int:
    count = attribute(element, name, "1")
    return min(int(count), _MAX_REPEATED) if count.isdecimal() else 1


def _line(element: _Element) -> str:
    return squeeze(_text(element))


def _text(element: _Element) -> str:
    """The text inside, without notes and frames, which are written on their own."""
    pieces = [element.text or ""]
    for item in element:
        name = local(item)
        if name == "s":
            pieces.append(" " * _repeated(item, "c"))
        elif name in ("tab", "line-break"):
            pieces.append("\t" if name == "tab" else "\n")
        elif name not in _SKIPPED and name not in ("note", "frame", "custom-shape", ""):
            pieces.append(_text(item) + (" " if name in ("p", "h") else ""))
        pieces.append(item.tail or "")
    return "".join(pieces)


def _meta(archive: Archive) -> dict[str, Scalar]:
    tree = archive.optional_xml("meta.xml")
    names = {"title": "title", "initial-creator": "author", "creation-date": "created"}
    found = {} if tree is None else {names.get(local(item), ""): squeeze(item.text or "") for item in tree.iter()}
    return {key: value for key, value in found.items() if key and value}
