"""A page's lines written as text: paragraphs by distance, divided words whole again, a box for every line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from rag.load.builder import TextBuilder, squeeze
from rag.load.parsers.reading_order import Line
from rag.types import Box, Part

HYPHEN = "\ufffe"  # ends a line whose word goes on, as PDFium gives it
_PARAGRAPH_PITCHES = 1.4


@dataclass(frozen=True, slots=True)
class Page:
    """A page's lines in reading order, and the page's top left corner in PDF points.

    `recognized` is true where the lines were read off a picture.
    """

    lines: list[Line]
    left: float = 0.0
    top: float = 0.0
    recognized: bool = False


def write_page(
    page: Page, number: int, builder: TextBuilder, words: set[str], headings: dict[tuple[int, str], int]
) -> None:
    """Write the lines of page `number`.

    Args:
        words: all words of the document, to tell divided words from compounds.
        headings: (page number, folded text) -> level.
    """
    pitch = _pitch(page.lines)
    previous: Line | None = None
    for at, line in enumerate(page.lines):
        following = page.lines[at + 1].text if at + 1 < len(page.lines) else ""
        text = _unhyphenated(line.text, following, words)
        if previous is not None and not previous.text.endswith(HYPHEN):
            if previous.beside(line):
                builder.write(" ")
            else:
                builder.break_lines(2 if previous.bottom - line.bottom > _PARAGRAPH_PITCHES * pitch else 1)
        start, end = builder.write(text)
        edges = (line.left - page.left, page.top - line.top, line.right - page.left, page.top - line.bottom)
        left, upper, right, lower = (round(edge, 1) for edge in edges)
        builder.boxes.append(Box(start, end, number, left, upper, right, lower))
        if level := headings.get((number, folded(text))):
            builder.parts.append(Part("heading", start, end, text, level))
        previous = line


def _pitch(lines: Sequence[Line]) -> float:
    """The usual distance from line to line, in points."""
    steps = [a.bottom - b.bottom for a, b in pairwise(lines)]
    return median([step for step, line in zip(steps, lines, strict=False) if 0 < step < 3 * line.height] or [12.0])


def _unhyphenated(text: str, following: str, words: set[str]) -> str:
    """A line without the hyphen that only the line break needed: ``us-`` + ``ing``, but not ``dual-`` + ``encoder``.

    The rest of the document decides where it has the word; otherwise a lower-case rest is a divided word.
    """
    if not text.endswith(HYPHEN):
        return text
    head, rest = text[:-1], (following.split() or [""])[0].rstrip(HYPHEN)
    word = head.rpartition(" ")[2]
    if word + rest in words:
        return head
    if f"{word}-{rest}" in words or not rest[:1].islower():
        return head + "-"
    return head


def folded(text: str) -> str:
    """How the text of headings is compared."""
    return squeeze(text).casefold()
