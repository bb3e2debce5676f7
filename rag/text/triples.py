"""Statements of a sentence as (head, relation, tail), by rules.

An approximation for Latin script and English word order: what a sentence says of the first thing it names. Statements
about a pronoun give none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.text.entities import Entity, entities

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


_FILLERS = set(_words("a an the that which who whom also as and but or then"))
_PREPOSITIONS = set(_words("in on at of by for from to with into during until since after before near as under"))
_ABOUT_ANOTHER = _PREPOSITIONS | set(
    _words("i you he she it we they this these those there is was are were has had have did do will would can could")
)
_OF_HEAD = re.compile(r"(?:^|, )(?:the )?((?:[^\W_]+ ){0,3}[^\W_]+) of (?:the )?(?:[a-z]+ )?$", re.IGNORECASE)
_MARKER = re.compile(r"\s*\[\d{1,3}\]")


@dataclass(frozen=True, slots=True)
class Triple:
    """What is said of `head`. Without a `tail` nothing else that has a name takes part."""

    head: str
    relation: str
    tail: str | None = None


def triples(sentence: str) -> list[Triple]:
    """The triples of one sentence, in the order of their tails.

    The head is the first name or title. Every entity after it is a tail, with the words between as their relation; a
    later tail that only a preposition ties to the sentence ("in 1997") gets the verb from before. "The director of X
    is Y" is read as X, director, Y.

    >>> triples("Titanic was directed by James Cameron in 1997.")[1]
    Triple(head='Titanic', relation='was directed in', tail='1997')
    >>> triples("The director of Titanic is James Cameron.")
    [Triple(head='Titanic', relation='director', tail='James Cameron')]
    >>> triples("Titanic was a great success.")
    [Triple(head='Titanic', relation='was great success', tail=None)]
    """
    text = _MARKER.sub("", sentence).strip()
    found = entities(text)
    at = _head(text, found)
    if at is None:
        return []
    head, end, rest = found[at].text, found[at].end, found[at + 1 :]
    noun = _OF_HEAD.search(text, 0, found[at].start)
    if noun is not None:
        return [Triple(head, noun[1].lower(), rest[0].text if rest else None)]
    return _tails(text, head, end, rest) or _without_tail(text, head, found[at].end)


def _head(text: str, found: list[Entity]) -> int | None:
    """Which entity the sentence is about: the first, or the first after an opening like "In Paris,"."""
    opening = _WORD.match(text)
    if opening is None:
        return None
    comma = text.find(", ") if opening[0].lower() in _PREPOSITIONS else -1
    for at, entity in enumerate(found):
        if entity.start > comma and entity.kind in ("name", "title"):
            before = text[comma + 1 : entity.start]
            words = _words(before)
            about = _OF_HEAD.search(before) or (len(words) <= 3 and _ABOUT_ANOTHER.isdisjoint(words))
            return at if about else None
    return None


def _tails(text: str, head: str, end: int, rest: list[Entity]) -> list[Triple]:
    made: list[Triple] = []
    said: list[str] = []  # what the sentence says, without the preposition before the first tail
    last = head
    for tail in rest:
        between = _words(text[end : tail.start])
        if "who" in between and made:
            head, said = last, []
        words = [word for word in between if word not in _FILLERS]
        last, end = tail.text, tail.end
        if any(word not in _PREPOSITIONS for word in words):
            said = words
        elif not said:
            continue  # an apposition, as in "Titanic (1997)"
        elif words:
            said = [*_without_prepositions(said), *words]
        made.append(Triple(head, " ".join(said), tail.text))
    return made


def _without_tail(text: str, head: str, end: int) -> list[Triple]:
    words = [word for word in _words(text[end:]) if word not in _FILLERS]
    return [Triple(head, " ".join(words))] if any(word not in _PREPOSITIONS for word in words) else []


def _without_prepositions(words: list[str]) -> list[str]:
    """The words up to the last that is no preposition."""
    return words[: max((at for at, word in enumerate(words, 1) if word not in _PREPOSITIONS), default=0)]
