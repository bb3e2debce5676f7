"""What a text speaks of, by rules: names, titles in quotes, dates and numbers.

Names are runs of words with capitals, so only Latin script gives any, and the words that begin sentences and join names
are English ones. A trained extractor errs less; here nothing has to be loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rag.text.analyze import STOPWORDS
from rag.text.dates import dated
from rag.text.names import names

_TITLE = re.compile(r"“([^“”\n]{2,80})”|\"([^\"\n]{2,80})\"|«([^«»\n]{2,80})»")
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w]|[.,]\d)")
_JOINED = re.compile(r" (?:and|for) ")
_LINKS = ("of", "the", "de", "von", "van")
_PRONOUNS = "i you he she we me him her us them his my your our its both between each some"
_NO_NAMES = STOPWORDS | set(_PRONOUNS.split())
_INITIAL = re.compile(r"(?<!\w)[A-Z]$")
_MIDDLE = re.compile(r"\. (?:[A-Z]\. ?)*")
_INITIALS = re.compile(r"(?<!\w)(?:[A-Z]\. ?)+$")
_LEADING = re.compile(r"([^\W_]+) ")
_SAYS_SOMETHING = re.compile(
    r"(?:['’]s)? (?:is|was|are|were|has|had|have|did|does|do|will|would|can|could|became|[a-z]+(?:ed|s))\b| \("
)


@dataclass(frozen=True, slots=True)
class Entity:
    """Something a text names, at ``text[start:end]``."""

    text: str
    start: int
    kind: Literal["name", "title", "date", "number"]

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def entities(text: str) -> list[Entity]:
    """The entities of a text in its order; none overlaps another.

    Names joined by "and" are two. One word that begins a sentence is a name where a verb such as "was" follows it, or
    where it has its capital elsewhere too.

    >>> found = entities('Were J. Lo and Ed Wood in "Glen or Glenda" (1953)?')
    >>> [(entity.kind, entity.text) for entity in found]
    [('name', 'J. Lo'), ('name', 'Ed Wood'), ('title', 'Glen or Glenda'), ('number', '1953')]
    """
    found: list[Entity] = []
    taken = bytearray(len(text))
    for entity in (*_titles(text), *_dates(text), *_names(text), *_numbers(text)):
        if not any(taken[entity.start : entity.end]):
            taken[entity.start : entity.end] = b"\1" * len(entity.text)
            found.append(entity)
    return sorted(found, key=lambda entity: entity.start)


def named(text: str) -> list[str]:
    """The distinct names, titles and dates of a text, in its order: what one counts to see whether it is known.

    Bare numbers are left out: every corpus has them.

    >>> named("Is Ed Wood born on 10 October 1924 this Ed Wood or 1 of 2?")
    ['Ed Wood', '10 October 1924']
    """
    return list(dict.fromkeys(entity.text for entity in entities(text) if entity.kind != "number"))


def _titles(text: str) -> Iterator[Entity]:
    for match in _TITLE.finditer(text):
        start, end = match.span(match.lastindex or 0)
        inside = text[start:end].strip(" .,;:!?")
        if inside[:1].isupper() or inside[:1].isdigit():
            yield Entity(inside, start + text[start:end].index(inside), "title")


def _dates(text: str) -> Iterator[Entity]:
    for (start, end), _ in dated(text):
        yield Entity(text[start:end], start, "date")


def _names(text: str) -> Iterator[Entity]:
    found = list(names(text))
    sure = {name.text for name in found if not name.doubtful}
    end = 0
    for at, name in enumerate(found):
        if name.start < end:
            continue  # was joined to the one before
        if name.doubtful and name.text not in sure and not _SAYS_SOMETHING.match(text, name.start + len(name.text)):
            continue
        initials = _INITIALS.search(text, end, name.start)
        start, end = initials.start() if initials else name.start, name.start + len(name.text)
        for other in found[at + 1 :]:  # "Lawrence S. Wittner"
            if not _MIDDLE.fullmatch(text, end, other.start) or not _INITIAL.search(text, start, end):
                break
            end = other.start + len(other.text)
        yield from _pieces(text, start, end)


def _pieces(text: str, start: int, end: int) -> Iterator[Entity]:
    """The names in ``text[start:end]`` without the words of a question before them: "Were Ann Lee and Bo Ek"."""
    if not text[:start].rstrip() or text[:start].rstrip()[-1] in ".!?":
        while (word := _LEADING.match(text, start, end)) and word[1].lower() in _NO_NAMES and word[1] != "The":
            start = word.end()
    for joint in (*_JOINED.finditer(text, start, end), None):
        name = text[start : joint.start() if joint else end]
        if name.lower() not in _NO_NAMES and all(word[0].isupper() or word in _LINKS for word in name.split()):
            yield Entity(name, start, "name")
        start = joint.end() if joint else end


def _numbers(text: str) -> Iterator[Entity]:
    for match in _NUMBER.finditer(text):
        yield Entity(match[0], match.start(), "number")
