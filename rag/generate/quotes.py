"""What can be quoted from evidence: whole sentences, shown clean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.text.sentences import sentences
from rag.types import Evidence

_STOP = re.compile(r"[.!?…。！？।؟۔;:]['\"”’»）)\]]*$")
_QUESTION = re.compile(r"[?？؟]['\"”’»）)\]]*$")
_MARKED_HEADING = re.compile(r"#{1,6}\s")
_LEAD = re.compile(r"^(?:[-*•‣◦·>|]\s+|\d{1,3}[.)]\s+|\|)+")
_TRAIL = re.compile(r"[\s|]+$")
_BRACKETED = re.compile(r"[\[［【](\s*\d[\d\s,;，、–—-]*)[\]］】]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of the evidence with the number `evidence` (from 1), at ``[start, end)`` of its text.

    `lead` is what stands over it and says what it is about: a heading or a question. `fragment` marks a text that says
    nothing alone: a heading, a question, a rule of a table.
    """

    evidence: int
    start: int
    end: int
    text: str
    lead: str = ""
    fragment: bool = False

    @property
    def shown(self) -> str:
        """One line without list and table marks. ``[3]`` becomes ``(3)``, or it would be read as a citation."""
        line = _TRAIL.sub("", _LEAD.sub("", " ".join(self.text.split())))
        return _BRACKETED.sub(r"(\1)", line)

    @property
    def ends(self) -> bool:
        """Whether it ends with a full stop or the like."""
        return _STOP.search(self.text) is not None


def quotes(number: int, evidence: Evidence) -> Iterator[Quote]:
    """The sentences of one piece of evidence that have a word in them, in order."""
    lead = " ".join(evidence.location.headings)
    for start, end in sentences(evidence.text):
        text = evidence.text[start:end]
        if not _WORD.search(text):
            continue
        fragment = _is_fragment(text)
        yield Quote(number, start, end, text, lead, fragment)
        if fragment:
            lead = text
        elif _QUESTION.search(lead):
            lead = ""  # a question is answered by what follows it directly


def _is_fragment(text: str) -> bool:
    if _MARKED_HEADING.match(text) or _QUESTION.search(text):
        return True
    words = _WORD.findall(text)
    is_short = len(words) < 5 and len(text) < 40
    return is_short and _STOP.search(text) is None and not any(word[0].isdigit() for word in words)
