"""What a sentence cannot get slightly wrong: its numbers, its names, and what it denies.

Numbers compare by value (``1,500,000`` is ``1.5 million``, ``05`` is ``5``, ``3rd`` is ``3``); the evidence may write
small ones as English words. A name is a word with a capital that does not merely open the sentence, which in German
also takes in nouns. What is denied is the content word after a negation, in English, German, French, Spanish and
Russian.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from rag.text.analyze import STOPWORDS, Analyzer

_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[\u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_SCALE = re.compile(r"\s*-?(thousand|million|billion|trillion)\b", re.IGNORECASE)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ALONE = re.compile(rf"(?<![\w-]){_NUMBER.pattern}(?:st|nd|rd|th|s|%)?(?![\w-])(?:{_SCALE.pattern})?", re.IGNORECASE)
_SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_IN_WORDS = {word: Decimal(value) for value, word in enumerate(_SMALL.split())} | {
    word: Decimal(value) for value, word in enumerate(_ORDINALS.split(), 1)
}
_WORD = re.compile(r"[^\W_]+(?:[-.'’][^\W_]+)*")
_DENYING = """
not no never neither nor none nobody nothing cannot without
nicht kein keine keinen keinem keiner nie niemals ohne pas jamais aucun aucune sans nunca sin ningún ninguna
не нет ни никогда без нельзя
"""
_NEGATIONS = frozenset(_DENYING.split())
_SHORT_NOT = "n't"
_REACH = 4  # words behind a negation within which what it denies stands


def words(text: str) -> list[str]:
    """The words as written, hyphens and apostrophes inside them kept."""
    return _WORD.findall(text)


def numbers(text: str) -> frozenset[Decimal]:
    """The values of the numbers written in digits, those with a ``million`` behind them multiplied by it.

    >>> sorted(map(str, numbers("In 1990, 1,200 of 1.5 million people (3,5 %)")))
    ['1200', '1500000', '1990', '3.5']
    """
    return frozenset(value * scale for value, scale in _written(text))


def without_numbers(text: str) -> str:
    """The text without the numbers in it that stand alone, and without a ``million`` behind them.

    >>> without_numbers("In 1990, 1.5 million people had Covid-19.").split()
    ['In', ',', 'people', 'had', 'Covid-19.']
    """
    return _ALONE.sub(" ", text)


def numbers_to_meet(text: str) -> frozenset[Decimal]:
    """Every value that `text` may be quoted for: also a scaled number without its scale, and small ones in words."""
    found = {each for value, scale in _written(text) for each in (value, value * scale)}
    return frozenset(found | {value for word in text.lower().split() if (value := _word_value(word)) is not None})


def names(sentence: str) -> list[str]:
    """The names in a sentence, a word each, in its order.

    A first word counts if the next one is a name too.

    >>> names("Barack Obama met the Pope in Rome, not NATO.")
    ['Barack', 'Obama', 'Pope', 'Rome', 'NATO']
    >>> names("Dogs bark in London.")
    ['London']
    """
    found = words(sentence)
    capital = [word[0].isupper() and word.lower() not in STOPWORDS and word != "I" for word in found]
    return [word for at, word in enumerate(found) if capital[at] and (at > 0 or capital[1:2] == [True])]


def initials(text: str) -> frozenset[str]:
    """The acronyms that runs of capitalised words in `text` could have, small words between them left out.

    >>> "us" in initials("He moved to the United States in May.")
    True
    """
    found: set[str] = set()
    run = ""
    for word in words(text):
        if word[0].isupper():
            run += word[0].lower()
            found.update(run[-length:] for length in range(2, min(6, len(run)) + 1))
        elif word.lower() not in STOPWORDS:
            run = ""
    return frozenset(found)


def denied(sentence: str, analyzer: Analyzer) -> frozenset[str]:
    """The terms that a negation in the sentence stands right before.

    >>> sorted(denied("The dog did not bark, and it never bites.", Analyzer()))
    ['bark', 'bite']
    """
    written = words(sentence.replace("’", "'"))
    found: set[str] = set()
    for at, word in enumerate(written):
        lower = word.lower()
        if not (lower in _NEGATIONS or lower.endswith(_SHORT_NOT)) or written[at + 1 : at + 2] == ["only"]:
            continue
        found.update(_first_term(written[at + 1 : at + 1 + _REACH], analyzer))
    return frozenset(found)


def _first_term(following: list[str], analyzer: Analyzer) -> list[str]:
    for word in following:
        if word.lower() not in _NEGATIONS and (terms := analyzer.terms(word)):
            return terms
    return []


def _written(text: str) -> Iterator[tuple[Decimal, int]]:
    for match in _NUMBER.finditer(text):
        for value in _values(match[0]):
            scale = _SCALE.match(text, match.end())
            yield value, _SCALES[scale[1].lower()] if scale else 1


def _values(written: str) -> Iterator[Decimal]:
    """One value, or several where dots or commas only separate: ``12.05.1990``."""
    if _THOUSANDS.fullmatch(written):
        yield Decimal(re.sub(r"[,\u00a0\u202f](?=\d{3})", "", written).replace(",", "."))
        return
    parts = re.split(r"[.,\u00a0\u202f]", written)
    try:
        if len(parts) == 2:
            yield Decimal(".".join(parts))
        else:
            yield from map(Decimal, parts)
    except InvalidOperation:  # digits that are none to `Decimal`, as superscripts
        return


def _word_value(word: str) -> Decimal | None:
    return _IN_WORDS.get(word.strip(".,;:!?()\"'"))
