"""What can be quoted from evidence: whole sentences, shown clean."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.text.sentences import sentences
from rag.types import Evidence, Part

_STOP = re.compile(r"[.!?…。！？।؟۔;:]['\"”’»）)\]]*(?:\s*\[[\w ,]+\])*$")  # also before "[12]" and "[citation needed]"
_QUESTION = re.compile(r"[?？؟]['\"”’»）)\]]*$")
_MARKED_HEADING = re.compile(r"#{1,6}\s")
_LEAD = re.compile(r"^(?:[-*•‣◦·>|]\s+|\d{1,3}[.)]\s+|\||\[\d+\]\s*)+")  # "[3] Dogs" is of the sentence before
_ITEM = re.compile(r"[-*•‣◦·]\s|\d{1,3}[.)]\s")
_CODE = re.compile(r"`[^`\n]+`|`")  # closed, or a backtick alone
_TRAIL = re.compile(r"[\s|]+$")
_BRACKETED = re.compile(r"[\[［【](\s*\d[\d\s,;，、–—-]*)[\]］】]")
_WORD = re.compile(r"\w+")
_ADDRESS = re.compile(r"(?<!\])\([^()]*://[^()]*\)?")  # in brackets; "[the desk](https://...)" is a link in a sentence
_ENTRY = re.compile(r"(?:\d{1,4}|\d+(?:\.\d+)+)\s+(?=[^\W\d_a-z][a-z])")  # "34 Our offices", "3.1.2 Dogs": of contents
_LEADERS = re.compile(r"(?:\.\s?){5,}\s*\d*$")  # "Our offices ......... 34"
_CAPTION = re.compile(r"(?:figure|fig\.|table)\s+\d", re.IGNORECASE)
_ANNOUNCES = re.compile(r"[:：]$")

LIST_LENGTH = 300
"""The most code points of what announces a list together with the items of it that are quoted."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of the evidence with the number `evidence` (from 1), at ``[start, end)`` of its text.

    `lead` is what stands over it and says what it is about: a heading, a question, a table's header, "These are our
    offices:". These are also what `fragment` marks: a text that answers nothing alone. `row`: it is one of a table.
    """

    evidence: int
    start: int
    end: int
    text: str
    lead: str = ""
    fragment: bool = False
    row: bool = False

    @property
    def shown(self) -> str:
        """One line without list and table marks. ``[3]`` becomes ``(3)``, or it would be read as a citation.

        Backticks that open code and do not close it are left out: citations behind them would be taken for code.
        """
        line = _CODE.sub(lambda found: found[0] if len(found[0]) > 1 else "", self.text)
        line = _TRAIL.sub("", _LEAD.sub("", " ".join(line.split())))
        return _BRACKETED.sub(r"(\1)", line)

    @property
    def ends(self) -> bool:
        """Whether it ends with a full stop or the like."""
        return _STOP.search(self.text) is not None


def quotes(number: int, evidence: Evidence, parts: Sequence[Part] = (), *, whole: str = "") -> Iterator[Quote]:
    """The sentences of one piece of evidence that have a word in them, in order; in a table, its rows.

    The short items of a list belong to the sentence that announces it. Entries of a list of references are left out.

    Args:
        parts: the headings and tables of the document.
        whole: its text, where the header of a table that began before the evidence stands.
    """
    span = evidence.span
    near = [part for part in parts if part.start < span.end and part.end > span.start]
    headings = [(part.start - span.start, part.end - span.start) for part in near if part.kind == "heading"]
    tables = [(part.start - span.start, part.end - span.start) for part in near if part.kind == "table"]
    heads = {start: _end_of_header(evidence.text, start, end) for start, end in tables if start >= 0}
    lead, header = " ".join(evidence.location.headings), ""
    for part in near:
        if part.kind == "table" and part.start < span.start:
            header = whole[part.start : max(part.start, _end_of_header(whole, part.start, part.end))].strip()
    pieces = _with_items(evidence.text, list(_pieces(evidence.text, _borders(evidence.text, headings, tables))))
    for at, (start, end) in enumerate(pieces):
        text = evidence.text[start:end]
        if not _WORD.search(text) or _is_reference(text):
            continue
        table = next((table for table in tables if table[0] <= start < table[1]), None)
        is_header = table is not None and start < heads.get(table[0], -1)
        is_heading = any(first <= start < last for first, last in headings)
        is_title = at == 0 and span.start == 0 and len(pieces) > 1 and _is_title(text)
        fragment = is_heading or is_header or is_title or (table is None and _is_fragment(text))
        header = (text if is_header else header) if table else ""
        over = f"{lead} {'' if is_header else header}".strip()
        yield Quote(number, start, end, text, over, fragment, row=table is not None)
        if fragment and not is_header:
            lead = text
        elif _QUESTION.search(lead):
            lead = ""  # a question is answered by what follows it directly


def _borders(text: str, headings: Sequence[tuple[int, int]], tables: Sequence[tuple[int, int]]) -> list[int]:
    """Where a sentence cannot go on: the edges of headings and tables, and the end of each row of a table."""
    edges = {edge for span in (*headings, *tables) for edge in span}
    rows = {at for start, end in tables for at in range(max(0, start), min(len(text), end)) if text[at] == "\n"}
    return sorted(edges | rows)


def _pieces(text: str, borders: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The sentences of `text`, cut at `borders`, without the space around them."""
    for start, end in sentences(text):
        inside = borders[bisect_right(borders, start) : bisect_left(borders, end)]
        for first, last in pairwise((start, *inside, end)):
            piece = text[first:last]
            if piece.strip():
                yield first + len(piece) - len(piece.lstrip()), last - len(piece) + len(piece.rstrip())


def _end_of_header(text: str, start: int, end: int) -> int:
    """Where the header of the table at ``[start, end)`` ends: its first row, or a title and the row after it."""
    first = text.find("\n", start, end)
    second = text.find("\n", first + 1, end)
    has_title = 0 <= first < second and " | " not in text[start:first] and " | " in text[first:second]
    return second if has_title else first


def _with_items(text: str, pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Short items of a list joined to what announces them, as long as that is short enough together."""
    joined: list[tuple[int, int]] = []
    announced = False
    for start, end in pieces:
        piece = text[start:end]
        announced = announced and _ITEM.match(piece) is not None and _is_fragment(_LEAD.sub("", piece))
        if announced and end - joined[-1][0] <= LIST_LENGTH:
            joined[-1] = (joined[-1][0], end)
            continue
        announced = _ANNOUNCES.search(piece) is not None
        joined.append((start, end))
    return joined


def _is_reference(text: str) -> bool:
    """Whether it is an entry of a list of references: to a good part addresses of pages, in brackets."""
    return 3 * sum(map(len, _ADDRESS.findall(text))) > len(text)


def _is_fragment(text: str) -> bool:
    if _MARKED_HEADING.match(text) or _QUESTION.search(text) or _ANNOUNCES.search(text):
        return True
    if _LEADERS.search(text) or not any(map(str.isalpha, text)) or (_CAPTION.match(text) and not _STOP.search(text)):
        return True
    text = text[entry.end() :] if (entry := _ENTRY.match(text)) else text
    words = _WORD.findall(text)
    if _STOP.search(text) or any(word[0].isdigit() for word in words):
        return False
    is_short = len(words) < 5 and len(text) < 40
    return is_short or (len(words) <= 12 and all(word[0].isupper() or len(word) <= 3 for word in words))


def _is_title(text: str) -> bool:
    return len(_WORD.findall(text)) <= 15 and _STOP.search(text) is None and _ITEM.match(text) is None
