"""Citation markers in an answer: ``[1]``, ``[1, 2]``, ``[1-3]``, ``【1】``."""

from __future__ import annotations

import re

MARKER = re.compile(r"[\[［【]\s*\d{1,9}(?:\s*[-–—,;，、]\s*\d{1,9})*\s*[\]］】]")


def unmarked(text: str) -> str:
    """The text with white space for its markers: same length, so that offsets hold.

    One at the end of a line ends the sentence before it, whatever the next line begins with, and becomes a line break.

    >>> unmarked("Dogs bark. [1] Cats sleep [2]")
    'Dogs bark.     Cats sleep    '
    """

    def blank(marker: re.Match[str]) -> str:
        length = marker.end() - marker.start()
        ends_line = text[marker.end() : marker.end() + 1] == "\n"
        return " " * (length - 1) + "\n" if ends_line else " " * length

    return MARKER.sub(blank, text)
