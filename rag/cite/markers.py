"""Citations written as numbers in square brackets."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rag.cite.base import Cited
from rag.text.sentences import sentences
from rag.types import Citation, Evidence

_NUMBERS = r"\d{1,9}(?:\s*[-–—]\s*\d{1,9})?"
_MARKER = re.compile(rf"[\[［【]\s*({_NUMBERS}(?:\s*[,;，、]\s*{_NUMBERS})*)\s*[\]］】]")
_PART = re.compile(r"(\d+)(?:\s*[-–—]\s*(\d+))?")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)


class MarkerCiter:
    """Resolves ``[1]``, ``[1][2]``, ``[1, 2]``, ``[1-3]`` and ``【1】``; numbers count from 1.

    A citation is the range of the final text that holds a sentence and its markers, also those after its full stop; a
    marker that opens a line belongs to the sentence after it. Numbers that name no evidence are taken out and counted:
    of ``[1, 9]`` stays ``[1]``, of ``[9]`` nothing. Brackets in code (between backticks) are no markers.
    """

    def cite(self, text: str, evidence: Sequence[Evidence], *, given: Collection[int] | None = None) -> Cited:
        final, markers, dropped = _resolved(text, range(1, len(evidence) + 1) if given is None else given)
        blanked = _blanked(final, markers)
        spans = sentences(blanked)
        starts = [start for start, _ in spans]
        found: dict[int, Citation] = {}
        for marker in markers:
            at = _sentence_of(marker, final, spans, starts)
            if at is None:
                continue
            start, end = spans[at]
            held = found.get(at) or Citation(start, end, ())
            found[at] = Citation(
                min(held.start, marker.start),
                max(held.end, marker.end),
                tuple(dict.fromkeys(held.evidence + marker.numbers)),
            )
        citations = (found[at] for at in sorted(found))
        return Cited(final, tuple(_with_spans(citation, blanked, evidence) for citation in citations), dropped)


def _with_spans(citation: Citation, blanked: str, evidence: Sequence[Evidence]) -> Citation:
    """The citation with a span a number: the sentence where the evidence has it word for word, else all of it."""
    words = blanked[citation.start : citation.end].split()
    pattern = re.compile(r"\s+".join(map(_either_bracket, words))) if words else None
    spans = []
    for number in citation.evidence:
        cited = evidence[number - 1]
        match = pattern.search(cited.text) if pattern else None
        start = cited.span.start
        spans.append(replace(cited.span, start=start + match.start(), end=start + match.end()) if match else cited.span)
    return replace(citation, spans=tuple(spans))


def _either_bracket(word: str) -> str:
    """A pattern of the word in which round brackets also stand for square ones: a quote shows ``[13]`` as ``(13)``."""
    return re.escape(word).replace(r"\(", r"[(\[［【]").replace(r"\)", r"[)\]］】]")


@dataclass(frozen=True, slots=True)
class _Marker:
    start: int
    end: int
    numbers: tuple[int, ...]


def _resolved(text: str, given: Collection[int]) -> tuple[str, list[_Marker], int]:
    """The text without numbers not `given`, the markers left in it, and how many parts of markers were taken out."""
    code = [match.span() for match in _CODE.finditer(text)]
    final = ""
    markers: list[_Marker] = []
    dropped = last = 0
    for match in _MARKER.finditer(text):
        if any(start <= match.start() < end for start, end in code):
            continue
        numbers, invalid = _numbers(match[1], given)
        dropped += invalid
        final += text[last : match.start()]
        last = match.end()
        if numbers:
            written = "".join(f"[{number}]" for number in numbers) if invalid else match[0]
            markers.append(_Marker(len(final), len(final) + len(written), numbers))
            final += written
        else:
            final = final.rstrip(" \t")  # "Dogs bark [9]." becomes "Dogs bark."
            if not final:
                last += len(text[last:]) - len(text[last:].lstrip())
    return final + text[last:], markers, dropped


def _numbers(written: str, given: Collection[int]) -> tuple[tuple[int, ...], int]:
    """The given numbers that a marker names, each once, and how many of its parts name others."""
    valid: dict[int, None] = {}
    invalid = 0
    for part in _PART.finditer(written):
        first = int(part[1])
        last = int(part[2] or first)
        inside = [number for number in range(first, min(last, max(given, default=0)) + 1) if number in given]
        valid.update(dict.fromkeys(inside))
        invalid += not inside or len(inside) < last - first + 1
    return tuple(valid), invalid


def _blanked(text: str, markers: Sequence[_Marker]) -> str:
    """The text with white space for markers: same length, so that offsets of its sentences hold in the text.

    A marker at the end of a line ends the sentence, whatever the next line begins with.
    """
    pieces: list[str] = []
    last = 0
    for marker in markers:
        length = marker.end - marker.start
        at_line_end = text[marker.end : marker.end + 1] == "\n"
        pieces += [text[last : marker.start], " " * (length - 1) + "\n" if at_line_end else " " * length]
        last = marker.end
    return "".join(pieces) + text[last:]


def _sentence_of(marker: _Marker, text: str, spans: Sequence[tuple[int, int]], starts: Sequence[int]) -> int | None:
    """The position of the sentence a marker belongs to: the one around or before it, or after it on its line."""
    after = bisect_left(starts, marker.start)
    before = after - 1
    if before >= 0 and spans[before][1] > marker.start:
        return before
    opens_line = before < 0 or "\n" in text[spans[before][1] : marker.start]
    if opens_line and after < len(spans) and "\n" not in text[marker.end : starts[after]]:
        return after
    if before >= 0:
        return before
    return after if after < len(spans) else None
