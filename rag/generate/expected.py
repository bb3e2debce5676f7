"""What kind of answer a question asks for, and whether a sentence has one.

By question words of English, Russian and Chinese, the languages it was measured in; any other question expects nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from rag.text.analyze import STOPWORDS

Kind: TypeAlias = Literal["time", "number", "name"]

_ASKING: Mapping[Kind, re.Pattern[str]] = {
    "time": re.compile(
        r"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:year|date|day|month|century|decade|time)\b"
        r"|\bкогда\b|\bкако[мй] (?:году?|век|месяц)\b|何时|什么时候|[哪几]一?[年天]|年份|时间",
        re.IGNORECASE,
    ),
    "number": re.compile(
        r"\bhow (?:many|much|old|long|far|tall|big|large|fast|high|often|wide|deep|heavy)\b"
        r"|\b(?:what|which) (?:\w+ )?(?:percentage|percent|number|amount|age|population|proportion|share)\b"
        r"|\bсколько\b|процент|多少|几[个人名次岁部]|多[大长高远久]",
        re.IGNORECASE,
    ),
    "name": re.compile(
        r"\bwho(?:m|se)?\b|\bwhere\b|\b(?:кто|кого|кому|кем|чей|где|куда)\b"
        r"|\b(?:what|which) (?:city|country|state|town|place|region|continent|river|county)\b",
        re.IGNORECASE,
    ),
}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_IN_WORDS = {
    "time": re.compile(
        r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|centur(?:y|ies)"
        r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|decade|spring|summer|autumn|winter)\b|январ|феврал|\bмарт|апрел"
        r"|\bма[яе]\b|\bиюн|\bиюл|август|сентябр|октябр|ноябр|декабр|\bвек[аеу]?\b|столети|[年月世紀纪]",
        re.IGNORECASE,
    ),
    "number": re.compile(
        r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
        r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|thousand|million|billion|dozen|half|third|quarter)s?\b"
        r"|\b(?:once|twice)\b|\b(?:два|две|двух|три|тр[её]х|четыре|пять|шесть|семь|восемь|девять|десять|сто|тысяч|милли"
        r"|половин|треть)|[一二三四五六七八九十百千万亿两]",
        re.IGNORECASE,
    ),
}
_WORD = re.compile(r"\w+")


def expected_by(question: str) -> Kind | None:
    """What a question asks for: a time, a number, or the name of somebody or of a place.

    >>> expected_by("When does a claim lapse?"), expected_by("How much is paid?"), expected_by("Why?")
    ('time', 'number', None)
    """
    return next((kind for kind, asking in _ASKING.items() if asking.search(question)), None)


def has(kind: Kind, text: str, *, question: str) -> bool:
    """Whether `text` has something of the kind that the question itself does not have.

    Names are words with a capital, so scripts without capitals have none.

    >>> has("name", "In 1890 the barn burned down.", question="Who burned the barn?")
    False
    >>> has("name", "The barn of Ann Lee burned down.", question="Who burned the barn?")
    True
    """
    if kind == "name":
        return _has_name(text, {word.lower() for word in _WORD.findall(question)})
    if any(number not in question for number in _NUMBER.findall(text)):
        return True
    asked = question.lower()
    return any(found[0].lower() not in asked for found in _IN_WORDS[kind].finditer(text))


def _has_name(text: str, known: set[str]) -> bool:
    words = _WORD.findall(text)
    for at, word in enumerate(words):
        if not word[0].isupper() or word.lower() in known or word.lower() in STOPWORDS:
            continue
        if at > 0 or (len(words) > 1 and words[1][0].isupper()):  # the first word has a capital in any case
            return True
    return False
