"""What the XML formats share: names without namespaces, document properties, tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rag.load.archive import Archive
from rag.load.builder import TextBuilder, squeeze
from rag.load.parsers.rows import table_rows
from rag.types import Scalar

if TYPE_CHECKING:
    from lxml.etree import _Element


def local(element: _Element) -> str:
    """An element's name without its namespace: the strict and the transitional variants of a format differ only there.

    Empty for comments and processing instructions.
    """
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: _Element, name: str, default: str = "") -> str:
    """The value of the attribute with that local name, in whatever namespace."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return default


def relation_id(element: _Element) -> str:
    """The relationship an element refers to: its ``id`` with a namespace, beside which there may be one without."""
    return next((str(value) for key, value in element.attrib.items() if str(key).endswith("}id")), "")


def children(element: _Element, *names: str) -> Iterator[_Element]:
    return (child for child in element if local(child) in names)


def child(element: _Element | None, *path: str) -> _Element | None:
    """The first element down a path of local names."""
    for name in path:
        if element is None:
            return None
        element = next(children(element, name), None)
    return element


def descendants(element: _Element, *names: str) -> Iterator[_Element]:
    return (found for found in element.iter() if local(found) in names)


def content(element: _Element) -> Iterator[_Element]:
    """The children of an element, where alternatives for older programs count once and wrappers not at all."""
    for found in element:
        name = local(found)
        if name == "AlternateContent":
            chosen = child(found, "Choice")
            yield from content(chosen if chosen is not None else found)
        elif name in ("sdt", "sdtContent", "smartTag", "customXml", "ins", "moveTo", "Fallback"):
            yield from content(found)
        elif name not in ("del", "moveFrom", "sdtPr", "sdtEndPr", ""):
            yield found


def core_properties(archive: Archive) -> dict[str, Scalar]:
    """Title, author and creation time of an office file."""
    tree = archive.optional_xml("docProps/core.xml")
    names = {"title": "title", "creator": "author", "created": "created"}
    found = {} if tree is None else {names.get(local(item), ""): squeeze(item.text or "") for item in tree}
    return {key: value for key, value in found.items() if key and value}


def write_table(builder: TextBuilder, rows: Iterable[Sequence[str]]) -> None:
    """Append a table part: one line a row (`rag.load.parsers.rows`), empty rows left out."""
    with builder.part("table"):
        for line in table_rows([[squeeze(cell) for cell in cells] for cells in rows if any(cells)]):
            builder.line(line)
    builder.break_lines(2)
