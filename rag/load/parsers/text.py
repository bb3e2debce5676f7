"""Plain text and source code: the text as it is."""

from __future__ import annotations

from dataclasses import dataclass

from rag.load.base import Parsed
from rag.load.builder import Limits
from rag.load.decode import decode
from rag.types import Layout


@dataclass(frozen=True, slots=True)
class TextParser:
    """Keeps every character and line end, so line n of the text is line n of the file."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        text = decode(data)
        if len(text) > self.limits.max_characters:
            raise ValueError(f"it holds more than {self.limits.max_characters:,} characters of text")
        return Parsed(text=text, layout=Layout(lines=True))
