"""HTML: what a reader of the page would read, block by block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lxml import etree

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.decode import decode
from rag.load.parsers.rows import table_rows
from rag.types import Scalar


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CHARSET = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NEVER_READ = _names(
    "script style noscript template svg iframe object embed canvas audio video map select textarea button datalist"
)
_BOILERPLATE_ROLES = frozenset({"navigation", "menu", "menubar", "search", "contentinfo"})
_CONTENT = frozenset({"html", "body", "main", "article"})
_PARAGRAPHS = _names(
    "p h1 h2 h3 h4 h5 h6 ul ol dl table section article main header footer aside blockquote pre figure "
    "form fieldset hr details address"
)
_LINES = _names("html body div li dt dd tr caption figcaption summary legend option center td th")
_BREAK = "\x1e"  # stands for <br> until the block is flushed; decoded text holds no control characters
_LONG_CELL = 1000


@dataclass(slots=True)
class Block:
    """A stretch of text with its role; `breaks` line breaks stand before it."""

    text: str
    breaks: int = 2
    kind: Literal["text", "heading", "code", "table"] = "text"
    level: int = 0


@dataclass(slots=True)
class _Table:
    layout: bool
    before: list[Block] = field(default_factory=list)
    rows: list[list[list[Block]]] = field(default_factory=list)
    in_cell: bool = False
    lists: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HtmlParser:
    """Readable text without scripts, navigation and page footers; headings, tables and code become parts.

    Parsed as a stream of events, not as a tree: depth of nesting costs nothing.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        declared = _CHARSET.search(data[:4096])
        text = decode(data, declared.group(1).decode("ascii") if declared else "")
        builder = TextBuilder(self.limits)
        return builder.parsed(write_html(text, builder))


def write_html(text: str, builder: TextBuilder) -> dict[str, Scalar]:
    """Append an HTML page to `builder`; returns its title, author, creation date and language where it says so."""
    reader = _read(text, boilerplate=False)
    if not reader.blocks:  # a page of nothing but navigation: then that is its content
        reader = _read(text, boilerplate=True)
    for block in reader.blocks:
        if block.kind == "heading":
            builder.heading(block.text, block.level)
        elif block.kind == "text":
            builder.break_lines(block.breaks)
            builder.write(block.text)
        else:
            with builder.part(block.kind):
                builder.write(block.text)
            builder.break_lines(2)
    return reader.meta


def _read(text: str, *, boilerplate: bool) -> _Reader:
    reader = _Reader(boilerplate)
    text = _XML_DECLARATION.sub("", text, count=1)
    if text.strip():
        parser = etree.HTMLParser(target=reader, no_network=True, huge_tree=True)  # type: ignore[arg-type]  # always str
        etree.fromstring(text, parser)
    return reader


class _Reader:
    """An lxml parser target that collects blocks."""

    def __init__(self, boilerplate: bool) -> None:
        self.boilerplate = boilerplate
        self.blocks: list[Block] = []
        self.meta: dict[str, Scalar] = {}
        self._skipped = 0  # depth inside an element that is not read
        self._inside = 0  # depth of <main> and <article>, whose footers belong to the content
        self._inline: list[str] = []
        self._breaks = 2
        self._heading = 0
        self._pre = 0
        self._marker = ""
        self._lists: list[int] = []  # the next number of each open <ol>, 0 for <ul>
        self._tables: list[_Table] = []
        self._title: list[str] | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._skipped or self._unread(tag, attributes):
            self._skipped += 1
            return
        if tag == "title":
            self._title = []
        elif tag == "html":
            self._note("language", attributes.get("lang", ""))
        elif tag == "meta":
            self._take_meta(attributes)
        elif tag == "br":
            self._inline.append(_BREAK)
        if tag in _PARAGRAPHS or tag in _LINES:
            self._flush()
            self._breaks = max(self._breaks, 2 if tag in _PARAGRAPHS else 1)
        if tag in ("main", "article"):
            self._inside += 1
        elif tag in ("ul", "ol"):
            if self._lists:
                self._breaks = 1
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "li":
            self._open_item()
        elif tag == "pre":
            self._pre += 1
        elif tag in ("table", "tr", "td", "th"):
            self._open_table_part(tag, attributes)
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._heading = int(tag[1])

    def end(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if tag == "title" and self._title is not None:
            self._note("title", squeeze("".join(self._title)))
            self._title = None
        if tag in _PARAGRAPHS or tag in _LINES:
            self._flush()
            self._breaks = max(self._breaks, 2 if tag in _PARAGRAPHS else 1)
        if tag in ("main", "article"):
            self._inside -= 1
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""
        elif tag == "pre":
            self._pre -= 1
        elif tag in ("td", "th") and self._tables:
            self._tables[-1].in_cell = False
        elif tag == "table" and self._tables:
            self._close_table()
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._heading = 0

    def data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data)
        elif not self._skipped:
            self._inline.append(data)

    def close(self) -> None:
        self._flush()
        while self._tables:
            self._close_table()

    def _unread(self, tag: str, attributes: Mapping[str, str]) -> bool:
        if tag in _NEVER_READ:
            return True
        if self.boilerplate or tag in _CONTENT:
            return False
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return True
        role = attributes.get("role", "")
        return tag == "nav" or role in _BOILERPLATE_ROLES or (tag == "footer" and not self._inside)

    def _take_meta(self, attributes: Mapping[str, str]) -> None:
        name = (attributes.get("name") or attributes.get("property") or "").lower()
        content = squeeze(attributes.get("content", ""))
        if name in ("author", "article:author", "dc.creator"):
            self._note("author", content)
        elif name in ("article:published_time", "dc.date", "date"):
            self._note("created", content)

    def _note(self, key: str, value: str) -> None:
        if value:
            self.meta.setdefault(key, value)

    def _open_item(self) -> None:
        indent = "  " * (len(self._lists) - 1)
        if self._lists and self._lists[-1]:
            self._marker = f"{indent}{self._lists[-1]}. "
            self._lists[-1] += 1
        else:
            self._marker = f"{indent}- "

    def _open_table_part(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "table":
            self._tables.append(_Table(attributes.get("role") in ("presentation", "none"), lists=self._lists))
            self._lists = []
        elif self._tables:
            table = self._tables[-1]
            if tag == "tr" or not table.rows:
                table.rows.append([])
            if tag != "tr":
                table.rows[-1].append([])
                table.in_cell = True

    def _sink(self) -> list[Block]:
        if not self._tables:
            return self.blocks
        table = self._tables[-1]
        return table.rows[-1][-1] if table.in_cell else table.before

    def _flush(self) -> None:
        text, self._inline = "".join(self._inline), []
        if self._pre:
            text = text.replace(_BREAK, "\n").strip("\n").rstrip()
            block = Block(text, 2, "code")
        else:
            lines = [line for line in map(squeeze, text.split(_BREAK)) if line]
            text = " ".join(lines) if self._heading else "\n".join(lines)
            block = Block(text, 2, "heading", self._heading) if self._heading else Block(text, self._breaks)
        if not text:
            return
        if self._marker and not self._heading:
            block = Block(self._marker + text, self._breaks)
            self._marker = ""
        self._sink().append(block)
        self._breaks = 0

    def _close_table(self) -> None:
        table = self._tables.pop()
        self._lists = table.lists
        sink = self._sink()
        sink += table.before
        cells = [cell for row in table.rows for cell in row]
        if table.layout or _is_layout(table.rows):
            for cell in cells:
                if cell:
                    cell[0].breaks = max(cell[0].breaks, 1)
                    sink += cell
        else:
            rows = [[squeeze(" ".join(b.text for b in cell)) for cell in row] for row in table.rows]
            text = "\n".join(table_rows([row for row in rows if any(row)]))
            if text:
                sink.append(Block(text, 2, "table"))


def _is_layout(rows: list[list[list[Block]]]) -> bool:
    """Whether a table only arranges the page: one column, tables in tables, headings or whole articles in cells."""
    if max((sum(map(bool, row)) for row in rows), default=0) <= 1:
        return True
    return any(
        any(block.kind in ("table", "heading") for block in cell) or sum(len(b.text) for b in cell) > _LONG_CELL
        for row in rows
        for cell in row
    )
