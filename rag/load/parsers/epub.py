"""EPUB: chapter by chapter, in the order of the spine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.load.archive import Archive, resolve
from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.decode import decode
from rag.load.parsers.html import write_html
from rag.load.parsers.office import attribute, descendants, local
from rag.types import Scalar

if TYPE_CHECKING:
    from lxml.etree import _Element

_CONTAINER = "META-INF/container.xml"
_CHAPTERS = (".html", ".xhtml", ".htm")


@dataclass(frozen=True, slots=True)
class EpubParser:
    """Every chapter the spine names is a part, called by its first heading."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        archive = Archive.open(data, self.limits)
        _refuse_encrypted(archive)
        package = next((attribute(root, "full-path") for root in descendants(archive.xml(_CONTAINER), "rootfile")), "")
        tree = archive.xml(package)
        builder = TextBuilder(self.limits)
        for member in _spine(tree, package.rpartition("/")[0]):
            if member in archive.names:
                _write_chapter(decode(archive.read(member)), builder)
        return builder.parsed(_meta(tree))


def _refuse_encrypted(archive: Archive) -> None:
    tree = archive.optional_xml(
        "META-INF/encryption.xml"
    )  # fonts are often scrambled, chapters only by copy protection
    references = descendants(tree, "CipherReference") if tree is not None else ()
    if any(attribute(reference, "URI").lower().endswith(_CHAPTERS) for reference in references):
        raise ValueError("the book is copy-protected: its chapters are encrypted")


def _spine(package: _Element, folder: str) -> list[str]:
    items = {attribute(item, "id"): item for item in descendants(package, "item")}
    chapters = [items[ref] for i in descendants(package, "itemref") if (ref := attribute(i, "idref")) in items]
    return [
        resolve(folder, attribute(item, "href"))
        for item in chapters
        if "html" in attribute(item, "media-type") and "nav" not in attribute(item, "properties").split()
    ]


def _write_chapter(text: str, builder: TextBuilder) -> None:
    place = len(builder.parts)
    with builder.part("chapter"):
        title = str(write_html(text, builder).get("title", ""))
    if len(builder.parts) > place and builder.parts[place].kind == "chapter":
        heading = next((part.name for part in builder.parts[place + 1 :] if part.kind == "heading"), title)
        builder.parts[place] = replace(builder.parts[place], name=heading)


def _meta(package: _Element) -> dict[str, Scalar]:
    names = {"title": "title", "creator": "author", "date": "created", "language": "language"}
    meta: dict[str, Scalar] = {}
    for item in package.iter():
        if local(item) in names and (text := squeeze(item.text or "")):
            meta.setdefault(names[local(item)], text)
    return meta
