"""Server-sent events, as chat servers send them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

_END = re.compile(r"\r\n|\n|\r(?!\Z)")
"""A line's end; a carriage return at the very end may be half of CR LF and waits for the next piece."""


def events(pieces: Iterable[bytes]) -> Iterator[str]:
    """The data of each event, in order, from bytes cut anywhere (WHATWG HTML, section 9.2.6).

    Comments (keep-alives) and other fields than ``data`` are skipped; several data lines of an event are joined with a
    line feed. One point differs from the standard: an event that the end of the stream cuts off before its blank line
    is given too, because servers forget that line.
    """
    data: list[str] = []
    for line in _lines(pieces):
        if not line:
            if data:
                yield "\n".join(data)
            data = []
            continue
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
    if data:
        yield "\n".join(data)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    for piece in pieces:
        *lines, rest = _END.split(rest + decoder.decode(piece))
        yield from lines
    if rest:
        yield rest.removesuffix("\r")
