"""Markdown: the text as it is, with its headings, code and tables marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.load.base import Parsed
from rag.load.builder import Limits, squeeze
from rag.load.parsers.text import TextParser
from rag.types import Layout, Part

_LINE_END = re.compile(r"\r\n|\r|\n")
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.*?\r?\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|$)", re.DOTALL)
_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MarkdownParser:
    """CommonMark with tables. Block structure only: inline markup costs time and moves no offsets."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        text = TextParser(self.limits).parse(data, name).text
        front = _FRONT_MATTER.match(text)
        # Same length and lines without the front matter, whose closing line would make a heading of the line before.
        body = re.sub(r"[^\r\n]", " ", text[: front.end()]) + text[front.end() :] if front else text
        tokens = _blocks().parse(body)
        parts = _parts(tokens, _line_starts(text), text)
        title = _TITLE.search(front.group(1)) if front else None
        first = next((part.name for part in parts if part.kind == "heading" and part.level == 1), "")
        heading = title.group(1) if title else first
        return Parsed(
            text=text,
            layout=Layout(parts=tuple(parts), lines=True),
            meta={"title": heading} if heading else {},
        )


@cache
def _blocks() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable("inline")


@cache
def _inline() -> MarkdownIt:
    return MarkdownIt("commonmark")


def _parts(tokens: list[Token], starts: list[int], text: str) -> list[Part]:
    parts: list[Part] = []
    for at, token in enumerate(tokens):
        if token.map is None:
            continue
        start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        end = start + len(text[start:end].rstrip())
        if token.type == "heading_open":
            parts.append(Part("heading", start, end, _plain(tokens[at + 1].content), int(token.tag[1])))
        elif token.type == "fence":
            parts.append(Part("code", start, end, token.info.split()[0] if token.info.split() else ""))
        elif token.type == "code_block":
            parts.append(Part("code", start, end))
        elif token.type == "table_open":
            parts.append(Part("table", start, end))
    return parts


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]


def _plain(content: str) -> str:
    """A heading without its inline markup.

    >>> _plain("The `rag` **command**, [see](x.md)")
    'The rag command, see'
    """
    children = (child for token in _inline().parseInline(content) for child in token.children or [])
    return squeeze("".join(" " if child.type == "softbreak" else child.content for child in children))
