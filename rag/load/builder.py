"""Building a document's text together with its structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.load.base import Parsed
from rag.load.decode import clean
from rag.types import Box, Layout, Part, PartKind, Scalar

if TYPE_CHECKING:
    from rag.load.specs import Ocr  # brings pydantic, which worker processes do without


@dataclass(frozen=True, slots=True)
class Limits:
    """What a parser may spend, the password it may use, and whether it reads pictures (`rag.load.specs.Ocr`)."""

    max_unpacked_bytes: int = 300_000_000
    max_characters: int = 20_000_000
    password: str | None = None
    ocr: Ocr = "off"
    threads: int = 1


class TextBuilder:
    """Collects text block by block; notes where parts begin and end, in code points of the text so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.length = 0
        self.parts: list[Part] = []
        self.boxes: list[Box] = []
        self._pieces: list[str] = []
        self._breaks = 2  # line breaks at the end of the text; the beginning needs none
        self._wanted = 0  # line breaks that must stand before the next text; after the last there are none

    def write(self, text: str) -> tuple[int, int]:
        """Append text as it is, after the line breaks asked for; returns its range.

        Raises:
            ValueError: the text grows over the limit.
        """
        text = clean(text)
        if not text:
            return self.length, self.length
        before = "\n" * self._missing()
        start = self.length + len(before)
        self.length = start + len(text)
        if self.length > self.limits.max_characters:
            raise ValueError(f"it holds more than {self.limits.max_characters:,} characters of text")
        self._pieces += (before, text)
        self._wanted = 0
        self._breaks = len(text) - len(text.rstrip("\n"))
        return start, self.length

    def line(self, text: str) -> tuple[int, int]:
        """Append text on a line of its own; returns the text's range."""
        self.break_lines(1)
        return self.write(text)

    def block(self, text: str) -> tuple[int, int]:
        """Append text as a paragraph of its own, after an empty line; returns the text's range."""
        self.break_lines(2)
        return self.write(text)

    def break_lines(self, breaks: int) -> None:
        """End the line (1) or leave an empty line (2) before the next text, unless the text already does."""
        self._wanted = max(self._wanted, breaks)

    def _missing(self) -> int:
        return max(0, self._wanted - self._breaks)

    def heading(self, text: str, level: int) -> None:
        start, end = self.block(text)
        if end > start:
            self.parts.append(Part("heading", start, end, text, min(max(level, 1), 6)))
        self.break_lines(2)

    @contextmanager
    def part(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Everything written inside is one part, without the line breaks before it; nothing written, no part."""
        self.break_lines(2)
        start, place = self.length + self._missing(), len(self.parts)
        yield
        if self.length > start:
            self.parts.insert(place, Part(kind, start, self.length, clean(name)))

    def parsed(self, meta: Mapping[str, Scalar] | None = None) -> Parsed:
        """The finished text; empty values of `meta` are left out."""
        text = "".join(self._pieces)
        kept = {key: value for key, value in (meta or {}).items() if value not in ("", None)}
        return Parsed(text=text, layout=Layout(parts=tuple(self.parts), boxes=tuple(self.boxes)), meta=kept)


def squeeze(text: str) -> str:
    """Every run of white space becomes one space; none at the ends."""
    return " ".join(text.split())
