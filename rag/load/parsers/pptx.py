"""PowerPoint: slide by slide, titles as headings, tables, grouped shapes and speaker notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.load.archive import Archive
from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.parsers.office import (
    attribute,
    child,
    children,
    content,
    core_properties,
    descendants,
    local,
    relation_id,
    write_table,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

_MAIN = "ppt/presentation.xml"
_TITLES = ("title", "ctrTitle")
_NOT_CONTENT = ("ftr", "sldNum", "hdr", "sldImg")


@dataclass(frozen=True, slots=True)
class PptxParser:
    """One slide, one part. A slide that cannot be read is left out and counted in ``slides_unreadable``."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        archive = Archive.open(data, self.limits)
        slides = _slides(archive)
        builder = TextBuilder(self.limits)
        broken: list[ValueError] = []
        for number, member in enumerate(slides, 1):
            try:
                tree = archive.xml(member)
            except ValueError as error:
                broken.append(error)
                continue
            with builder.part("slide", str(number)):
                _write_slide(archive, member, tree, builder)
        if broken and len(broken) == len(slides):
            raise ValueError(f"no slide can be read: {broken[0]}")
        meta = {"slides": len(slides), "slides_unreadable": len(broken) or None}
        return builder.parsed(core_properties(archive) | meta)


def _slides(archive: Archive) -> list[str]:
    """The slides' members in the order of the show."""
    relations = archive.relations(_MAIN)
    listed = [relation_id(slide) for slide in descendants(archive.xml(_MAIN), "sldId")]
    listed = [relation for relation in listed if relations.get(relation, ("", ""))[0] == "slide"]
    return [relations[relation][1] for relation in listed]


def _write_slide(archive: Archive, member: str, tree: _Element, builder: TextBuilder) -> None:
    shapes = list(_shapes(child(tree, "cSld", "spTree")))
    shapes.sort(key=lambda shape: _placeholder(shape) not in _TITLES)  # the title first, the rest as drawn
    relations = archive.relations(member)
    for shape in shapes:
        if local(shape) == "graphicFrame":
            _write_frame(archive, shape, relations, builder)
        elif _placeholder(shape) not in _NOT_CONTENT:
            _write_text(shape, builder)
    for kind, target in relations.values():
        if kind == "notesSlide" and (notes := archive.optional_xml(target)) is not None:
            text = "\n".join(
                line
                for shape in _shapes(child(notes, "cSld", "spTree"))
                if _placeholder(shape) == "body"
                for line in _lines(shape)
            )
            if text:
                builder.block(f"Notes: {text}")


def _shapes(tree: _Element | None) -> Iterator[_Element]:
    """The shapes that hold text, those in groups too."""
    if tree is None:
        return
    for shape in content(tree):
        if local(shape) == "grpSp":
            yield from _shapes(shape)
        elif local(shape) in ("sp", "graphicFrame"):
            yield shape


def _placeholder(shape: _Element) -> str:
    mark = child(shape, "nvSpPr", "nvPr", "ph")
    return attribute(mark, "type", "obj") if mark is not None else ""


def _write_text(shape: _Element, builder: TextBuilder) -> None:
    lines = list(_lines(shape))
    if not lines:
        return
    if _placeholder(shape) in _TITLES:
        builder.heading(squeeze(" ".join(lines)), 1)
    else:
        builder.block("\n".join(lines))
        builder.break_lines(2)


def _lines(shape: _Element) -> Iterator[str]:
    body = child(shape, "txBody")
    for paragraph in children(body, "p") if body is not None else ():
        for line in _text(paragraph).split("\n"):
            if line := squeeze(line):
                yield line


def _text(paragraph: _Element) -> str:
    return "".join("\n" if local(run) == "br" else run.text or "" for run in descendants(paragraph, "t", "br"))


def _write_frame(
    archive: Archive, frame: _Element, relations: dict[str, tuple[str, str]], builder: TextBuilder
) -> None:
    """A table, the words of a diagram, or the numbers of a chart."""
    for table in descendants(frame, "tbl"):
        write_table(builder, ([_cell(cell) for cell in children(row, "tc")] for row in children(table, "tr")))
    for diagram in descendants(frame, "relIds"):
        kind, target = relations.get(attribute(diagram, "dm"), ("", ""))
        tree = archive.optional_xml(target) if kind == "diagramData" else None
        for paragraph in descendants(tree, "p") if tree is not None else ():
            if text := squeeze(_text(paragraph)):
                builder.line(text)
    for chart in descendants(frame, "chart"):
        tree = archive.optional_xml(relations.get(relation_id(chart), ("", ""))[1])
        for series in descendants(tree, "ser") if tree is not None else ():
            name, labels, values = (_cached(series, kind) for kind in ("tx", "cat", "val"))
            pairs = [" ".join(pair) for pair in zip(labels or [""] * len(values), values, strict=False)]
            builder.line(f"{' '.join(name)}: {'; '.join(map(squeeze, pairs))}".strip(": "))
    builder.break_lines(2)


def _cached(series: _Element, kind: str) -> list[str]:
    """The texts or numbers that a chart keeps of its worksheet."""
    return [value.text or "" for found in children(series, kind) for value in descendants(found, "v")]


def _cell(cell: _Element) -> str:
    if attribute(cell, "hMerge") in ("1", "true") or attribute(cell, "vMerge") in ("1", "true"):
        return ""  # the text of a merged cell stands in its first
    return squeeze(" ".join(_text(paragraph) for paragraph in descendants(cell, "p")))
