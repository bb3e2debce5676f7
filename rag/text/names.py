"""Names: runs of words with capitals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.text.analyze import STOPWORDS
from rag.text.dates import MONTH
from rag.text.sentences import sentences

_CAPITAL = r"(?:[^\W\d_a-z][\w'’&.-]*[\w]|[A-Z](?=\.))"
_NAME = re.compile(rf"{_CAPITAL}(?:[ ](?:(?:of|the|de|von|van|and|for)[ ]){{0,2}}{_CAPITAL})*")
_CALENDAR = re.compile(rf"{MONTH.format('')}|(?:mon|tues|wednes|thurs|fri|satur|sun)day", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s$")
_LETTER = re.compile(r"[^\W_]")
_LEADING = re.compile(r"(?:The|An?|This|These|In|At|On|For|By|From|When|If) |\S+ (?:(?:of|the|and|for) ){1,2}")


@dataclass(frozen=True, slots=True)
class Name:
    """A name and where it starts. `doubtful`: one word that begins a sentence, which has a capital in any case."""

    text: str
    start: int
    doubtful: bool = False


def names(text: str) -> Iterator[Name]:
    """The names of a text in its order, without words that only begin a sentence, months and days.

    >>> [name.text for name in names("The Vasa sank on Sunday. Sailors of the Royal Navy saw it; NASA did not.")]
    ['Vasa', 'Royal Navy', 'NASA']
    """
    begins = {match.start() for start, end in sentences(text) if (match := _LETTER.search(text, start, end))}
    for match in _NAME.finditer(text):
        name, start, begin = _POSSESSIVE.sub("", match[0]), match.start(), match.start() in begins
        if begin and (found := _LEADING.match(name)):  # "The Vasa", "Sailors of the Royal Navy"
            name, start, begin = name[found.end() :], start + found.end(), False
        if name.lower() in STOPWORDS or _CALENDAR.fullmatch(name) or len(name) < 2:
            continue
        yield Name(name, start, begin and " " not in name and not name.isupper())
