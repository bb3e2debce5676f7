"""RTF: the text, without formatting."""

from __future__ import annotations

import re
from dataclasses import dataclass

from striprtf.striprtf import rtf_to_text

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder

_INFO = re.compile(r"\{\\(title|author)\s([^{}\\]*)\}")
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class RtfParser:
    """Paragraphs as lines. Escapes are read in the code page that the file names."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        source = data.decode("latin-1")  # RTF is ASCII; what is not is written in escapes
        try:
            text = str(rtf_to_text(source, errors="replace"))  # type: ignore[no-untyped-call]  # the library has no types
        except (LookupError, IndexError, TypeError, UnicodeError) as error:
            raise ValueError(f"the RTF is damaged: {error}") from error
        builder = TextBuilder(self.limits)
        builder.write(_BLANK_LINES.sub("\n\n", text).strip("\n"))
        return builder.parsed({key: value.strip() for key, value in _INFO.findall(source)})
