"""Citations written as numbers in square brackets."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rag.cite.base import Cited
from rag.text.sentences import WRAPPED_WIDTH, sentences
from rag.types import Citation, Evidence, Span

_NUMBERS = r"\d{1,9}(?:\s*[-–—]\s*\d{1,9})?"
_MARKER = re.compile(rf"[\[［【]\s*({_NUMBERS}(?:\s*[,;，、]\s*{_NUMBERS})*)\s*[\]］】]")
_PART = re.compile(r"(\d+)(?:\s*[-–—]\s*(\d+))?")
_SPACE_BEFORE_STOP = re.compile(r"\s+([.,;:!?。，；：！？])")
_CLOSED_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_OPEN_MARKER = re.compile(r"[\[［【][\s\d,;，、–—-]*\Z")
_SPACE = re.compile(r"\s")
_LAST_STOP = re.compile(r"(?<=.)\\?[.,;:!?。，；：！？]$")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)


class MarkerCiter:
    """Resolves ``[1]``, ``[1][2]``, ``[1, 2]``, ``[1-3]`` and ``【1】``; numbers count from 1.

    A citation is the range of the final text that holds a sentence and its markers, also those after its full stop; a
    marker that opens a line belongs to the sentence after it. Numbers that name no evidence are taken out and counted:
    of ``[1, 9]`` stays ``[1]``, of ``[9]`` nothing. Brackets in code (between backticks) are no markers.
    """

    def cite(self, text: str, evidence: Sequence[Evidence], *, given: Collection[int] | None = None) -> Cited:
        marked = read(text, range(1, len(evidence) + 1) if given is None else given)
        citations = (
            Citation(part.start, part.end, part.numbers, spans_of(part.text, part.numbers, evidence))
            for part in marked.sentences
            if part.markers
        )
        return Cited(marked.text, tuple(citations), marked.dropped)

    def certain(self, text: str, given: Collection[int]) -> int:
        return certain(text, given)


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker in the final text and the evidence it names."""

    start: int
    end: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MarkedSentence:
    """A sentence with its markers at ``[start, end)`` of the final text; `text` is it without them."""

    start: int
    end: int
    text: str
    markers: tuple[Marker, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The evidence named, each once, in the order of the markers."""
        return tuple(dict.fromkeys(number for marker in self.markers for number in marker.numbers))


@dataclass(frozen=True, slots=True)
class Marked:
    """An answer without the numbers that name nothing, cut into sentences.

    `blanked` is the text with white space for its markers, where the sentences were found.
    """

    text: str
    blanked: str
    sentences: tuple[MarkedSentence, ...]
    dropped: int


def read(text: str, given: Collection[int]) -> Marked:
    """Find the markers of `text` that name evidence in `given`, and the sentence of each."""
    final, markers, dropped = _resolved(text, given)
    blanked = _blanked(final, markers)
    spans = sentences(blanked)
    starts = [start for start, _ in spans]
    of_sentence: dict[int, list[Marker]] = {}
    for marker in markers:
        at = _sentence_of(marker, final, spans, starts)
        if at is not None:
            of_sentence.setdefault(at, []).append(marker)
    found = []
    for at, (start, end) in enumerate(spans):
        own = of_sentence.get(at, [])
        first = min([start, *(marker.start for marker in own)])
        last = max([end, *(marker.end for marker in own)])
        found.append(MarkedSentence(first, last, _joined(blanked[first:last]), tuple(own)))
    return Marked(final, blanked, tuple(found), dropped)


def certain(text: str, given: Collection[int]) -> int:
    """Up to where in the final text the citations stand, however an unfinished `text` goes on.

    A sentence stands once the next one has begun with a whole word, unless lines to come could show that a line break
    in or behind it was a wrapped line's. Nothing stands from the first marker on that names no source: one that is
    still to come may get its number.
    """
    marked = read(text[: _settled(text, given)], given)
    spans = sentences(marked.blanked)
    futures = [sentences(marked.blanked + more) for more in _continuations(marked.blanked)]
    count = 0
    for count, (span, following) in enumerate(pairwise(spans)):
        seen = marked.blanked[following[0] :]
        if any(future[count : count + 1] != [span] for future in futures) or not _SPACE.search(seen):
            break
    else:
        count = max(0, len(spans) - 1)
    return marked.sentences[count - 1].end if count else 0


def _settled(text: str, given: Collection[int]) -> int:
    """The length of the beginning in which it is decided what is code and what is a marker, and all markers hold."""
    ends = [len(text)]
    code = [match.span() for match in _CODE.finditer(text)]
    if code and code[-1][1] == len(text) and not _CLOSED_CODE.fullmatch(text, *code[-1]):
        ends.append(code[-1][0])
    outside = _blanked(text, [Marker(start, end, ()) for start, end in code])
    tick = outside.find("`", outside.rfind("\n") + 1)
    if tick >= 0:
        ends.append(tick)
    if opened := _OPEN_MARKER.search(text):
        ends.append(opened.start())
    for match in _MARKER.finditer(text):
        in_code = any(start <= match.start() < end for start, end in code)
        if not in_code and _numbers(match[1], given)[1]:
            ends.append(match.start())
            break
    return min(ends)


def _continuations(text: str) -> list[str]:
    """What makes the last paragraph just as wide as wrapped text is, and wider than any.

    In between, more width only turns more line breaks into ends of sentences.
    """
    lacking = max(0, WRAPPED_WIDTH - (len(text) - (text.rfind("\n") + 1)))
    return [("x " * WRAPPED_WIDTH)[:lacking][::-1], " x" * (len(text) + WRAPPED_WIDTH)]


def spans_of(text: str, numbers: Sequence[int], evidence: Sequence[Evidence]) -> tuple[Span, ...]:
    """A span for each number: the sentence where that evidence has it word for word, else all of the evidence."""
    return tuple(quote(text, evidence[number - 1]) or evidence[number - 1].span for number in numbers)


def quote(text: str, evidence: Evidence) -> Span | None:
    """Where the evidence has `text` word for word, whatever the white space between them."""
    words = text.split()
    match = re.search(r"\s+".join(map(_pattern, words)), evidence.text) if words else None
    if match is None:
        return None
    start = evidence.span.start
    return replace(evidence.span, start=start + match.start(), end=start + match.end())


def _pattern(word: str) -> str:
    """Of the word in a source: a quote shows ``[13]`` as ``(13)``, and a source may have a space before its stop."""
    written = re.escape(word).replace(r"\(", r"[(\[［【]").replace(r"\)", r"[)\]］】]")
    return _LAST_STOP.sub(r"\\s*\g<0>", written)


def _joined(blanked: str) -> str:
    """One line, no space left before a stop where a marker stood: ``bark [1].`` is ``bark.``"""
    return _SPACE_BEFORE_STOP.sub(r"\1", " ".join(blanked.split()))


def _resolved(text: str, given: Collection[int]) -> tuple[str, list[Marker], int]:
    """The text without numbers not `given`, the markers left in it, and how many parts of markers were taken out."""
    code = [match.span() for match in _CODE.finditer(text)]
    final = ""
    markers: list[Marker] = []
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
            markers.append(Marker(len(final), len(final) + len(written), numbers))
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


def _blanked(text: str, markers: Sequence[Marker]) -> str:
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


def _sentence_of(marker: Marker, text: str, spans: Sequence[tuple[int, int]], starts: Sequence[int]) -> int | None:
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
