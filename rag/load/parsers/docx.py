"""Word: paragraphs, headings with their numbers, tables, text boxes, footnotes and equations, in reading order.

Read from the XML itself: text boxes, footnotes, equations and list numbers are not in reach of the usual library's
interface, and it refuses files whose side parts (headers, comments) are damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.load.archive import Archive
from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.parsers.docx_numbering import Numbering
from rag.load.parsers.office import (
    attribute,
    child,
    children,
    content,
    core_properties,
    descendants,
    local,
    write_table,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

_MAIN = "word/document.xml"
_MATH_SIGNS = {"sup": "^", "sub": "_", "den": "/"}


@dataclass(frozen=True, slots=True)
class DocxParser:
    """The body of a Word file; headers, footers, comments and deleted text are not part of it."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        archive = Archive.open(data, self.limits)
        body = child(archive.xml(_MAIN), "body")
        if body is None:
            raise ValueError(f"{_MAIN} in it has no body")
        builder = TextBuilder(self.limits)
        _Body(archive, builder).write(body)
        return builder.parsed(core_properties(archive))


@dataclass(frozen=True, slots=True)
class _Style:
    heading: int
    list_id: str
    depth: int


class _Body:
    def __init__(self, archive: Archive, builder: TextBuilder) -> None:
        self.builder = builder
        self.styles = _styles(archive.optional_xml("word/styles.xml"))
        self.numbering = Numbering(archive.optional_xml("word/numbering.xml"))
        self.notes = {kind: _notes(archive.optional_xml(f"word/{kind}s.xml"), kind) for kind in ("footnote", "endnote")}

    def write(self, container: _Element) -> None:
        for element in content(container):
            if local(element) == "p":
                self._paragraph(element)
            elif local(element) == "tbl":
                self._table(element)

    def _paragraph(self, paragraph: _Element) -> None:
        style = self._style(paragraph)
        text = "\n".join(squeeze(line) for line in _text(paragraph).split("\n")).strip()
        if text:
            label = self.numbering.label(style.list_id, style.depth) if style.list_id else ""
            if style.heading:
                self.builder.heading(label + squeeze(text), style.heading)
            elif style.list_id:
                self.builder.line(label + text)
            else:
                self.builder.block(text)
                self.builder.break_lines(2)
        for box in _text_boxes(paragraph):
            self.write(box)
        for reference in descendants(paragraph, "footnoteReference", "endnoteReference"):
            note = self.notes[local(reference).removesuffix("Reference")].get(attribute(reference, "id"))
            if note:
                self.builder.line(f"Note {attribute(reference, 'id')}: {note}")

    def _table(self, table: _Element) -> None:
        rows = [[cell for cell in content(row) if local(cell) == "tc"] for row in content(table) if local(row) == "tr"]
        if max(map(len, rows), default=0) == 1:  # a frame around text
            for cell in (cell for row in rows for cell in row):
                self.write(cell)
            return
        write_table(self.builder, ([_cell_text(cell) for cell in row] for row in rows))

    def _style(self, paragraph: _Element) -> _Style:
        properties = child(paragraph, "pPr")
        named = child(properties, "pStyle")
        style = self.styles.get(attribute(named, "val") if named is not None else "", _Style(0, "", 0))
        return _own_style(properties, style)


def _own_style(properties: _Element | None, base: _Style) -> _Style:
    """What paragraph properties say, over what the style says."""
    heading, list_id, depth = base.heading, base.list_id, base.depth
    outline, numbers = child(properties, "outlineLvl"), child(properties, "numPr")
    number, level = child(numbers, "numId"), child(numbers, "ilvl")
    if outline is not None:
        heading = _number(outline) + 1 if _number(outline) < 6 else 0
    if number is not None:
        list_id = attribute(number, "val") if _number(number) else ""  # list 0 takes a style's numbers off
    if level is not None:
        depth = _number(level)
    return _Style(heading, list_id, depth)


def _styles(tree: _Element | None) -> dict[str, _Style]:
    """Style id -> what it means, with what it inherits."""
    elements = {attribute(style, "styleId"): style for style in descendants(tree, "style")} if tree is not None else {}

    def resolve(style_id: str, depth: int) -> _Style:
        style = elements.get(style_id)
        if style is None or depth > 20:  # a style may be based on itself in a damaged file
            return _Style(0, "", 0)
        based_on, name = child(style, "basedOn"), child(style, "name")
        base = resolve(attribute(based_on, "val"), depth + 1) if based_on is not None else _Style(0, "", 0)
        words = (attribute(name, "val") if name is not None else "").lower().split()
        if len(words) == 2 and words[0] == "heading" and words[1] in "123456":
            base = _Style(int(words[1]), base.list_id, base.depth or int(words[1]) - 1)
        elif words == ["title"]:
            base = _Style(1, base.list_id, base.depth)
        return _own_style(child(style, "pPr"), base)

    return {style_id: resolve(style_id, 0) for style_id in elements}


def _notes(tree: _Element | None, kind: str) -> dict[str, str]:
    if tree is None:
        return {}
    return {attribute(note, "id"): squeeze(_text(note)) for note in children(tree, kind) if not attribute(note, "type")}


def _text(element: _Element) -> str:
    """The text inside, without text boxes: they are written on their own."""
    pieces: list[str] = []
    for item in content(element):
        name = local(item)
        if name == "t":
            pieces.append(item.text or "")
        elif name in ("tab", "ptab"):
            pieces.append("\t")
        elif name in ("br", "cr"):
            pieces.append("\n")
        elif name == "noBreakHyphen":
            pieces.append("-")
        elif name == "tbl":
            pieces += (f"{_text(cell)} " for cell in descendants(item, "tc"))
        elif name in _MATH_SIGNS:
            pieces.append(_MATH_SIGNS[name] + _text(item))
        elif name == "chr":  # of a sum, a product, an integral
            pieces.append(attribute(item, "val"))
        elif name not in ("drawing", "pict", "object", "pPr", "rPr", "delText", "instrText"):
            pieces.append(_text(item))
            if name == "p":
                pieces.append(" ")
    return "".join(pieces)


def _text_boxes(paragraph: _Element) -> list[_Element]:
    """The text boxes anchored in a paragraph; the outer ones, each once though it is stored for old Words again."""
    found: list[_Element] = []
    for item in content(paragraph):
        if local(item) == "txbxContent":
            found.append(item)
        elif local(item) not in ("p", "tbl"):
            found += _text_boxes(item)
    return found


def _cell_text(cell: _Element) -> str:
    """A cell's text; empty where the cell above is merged with it, so that merged text stands once."""
    merge = child(cell, "tcPr", "vMerge")
    if merge is not None and attribute(merge, "val", "continue") == "continue":
        return ""
    boxes = [box for paragraph in children(cell, "p") for box in _text_boxes(paragraph)]
    return squeeze(" ".join(_text(element) for element in (cell, *boxes)))


def _number(element: _Element) -> int:
    value = attribute(element, "val", "0")
    return int(value) if value.isdecimal() else 0
