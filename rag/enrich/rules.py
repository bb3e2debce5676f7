"""Metadata without a model: what a text says of itself, found by rules.

Written for English and for what is the same elsewhere (headings, ISO dates, names with capitals); a rule that finds
nothing gives nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from rag.enrich.keywords import TermStatistics
from rag.enrich.schema import Value, listed
from rag.text.analyze import STOPWORDS
from rag.text.sentences import sentences
from rag.types import Chunk, Document

if TYPE_CHECKING:
    from rag.enrich.specs import FieldSpec, RuleName

PATH = " > "
SUMMARY_WORDS, KEYWORDS, ENTITIES = 40, 10, 10

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<month{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR = r"(?P<year{0}>1[5-9]\d\d|20\d\d)"
_DATE = re.compile(
    rf"\b(?:{_YEAR.format(1)}-(?P<number1>\d\d)(?:-(?P<day1>\d\d))?"
    rf"|(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\s+{_MONTH.format(2)}\s+{_YEAR.format(2)}"
    rf"|{_MONTH.format(3)}\s+(?P<day3>\d{{1,2}})(?:st|nd|rd|th)?,?\s+{_YEAR.format(3)}"
    rf"|{_MONTH.format(4)}\s+{_YEAR.format(4)})\b(?!-\d)",
    re.IGNORECASE,
)
_CAPITAL = r"(?:[^\W\d_a-z][\w'’&.-]*[\w]|[A-Z](?=\.))"
_NAME = re.compile(rf"{_CAPITAL}(?:[ ](?:(?:of|the|de|von|van|and|for)[ ]){{0,2}}{_CAPITAL})*")

_CALENDAR = re.compile(rf"{_MONTH.format('')}|(?:mon|tues|wednes|thurs|fri|satur|sun)day", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s$")
_LETTER = re.compile(r"[^\W_]")
_LEADING = re.compile(r"(?:The|An?|This|These|In|At|On|For|By|From|When|If) |\S+ (?:(?:of|the|and|for) ){1,2}")

_STEP = re.compile(r"^\s*(?:\d{1,2}[.)]|step \d+)\s", re.IGNORECASE | re.MULTILINE)
_RULE = re.compile(r"\b(?:must|shall|may not|is prohibited|are prohibited|is required to|are required to)\b", re.I)
_EXAMPLE = re.compile(r"\b(?:for example|for instance|e\.g\.|example \d|such as)", re.IGNORECASE)
_CONCEPT = re.compile(r"\b(?:is|are) (?:an?|the|called|defined|known)\b|\b(?:refers to|means|consists? of)\b", re.I)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A chunk, the document it is of, and the collection's terms: what rules look at."""

    chunk: Chunk
    document: Document
    terms: TermStatistics


def by_rules(fields: Sequence[FieldSpec], excerpt: Excerpt) -> dict[str, Value]:
    """The value of each field that has a rule and for which it finds something."""
    found = {field.name: RULES[field.rule](excerpt, field.most) for field in fields if field.rule is not None}
    return {name: value for name, value in found.items() if value is not None and value not in ("", [])}


def title(excerpt: Excerpt, most: int | None = None) -> str | None:
    """The document's title and the headings above the chunk; none where there is neither."""
    document, span = excerpt.document, excerpt.chunk.span
    name = document.meta.get("title")
    names = [name] if isinstance(name, str) else []
    return PATH.join(dict.fromkeys([*names, *document.locate(span.start, span.end).headings])) or None


def summary(excerpt: Excerpt, most: int | None = None) -> str | None:
    """The first sentence that ends like one; the first line of a text that has none."""
    text = excerpt.chunk.text
    said = [text[start:end] for start, end in sentences(text)]
    first = next((each for each in said if each.endswith((".", "!", "?", "。"))), said[0] if said else None)
    return None if first is None else " ".join(first.split()[: most or SUMMARY_WORDS])


def keywords(excerpt: Excerpt, most: int | None) -> list[str]:
    """By TF-IDF over the collection."""
    return excerpt.terms.keywords(excerpt.chunk.text, most=most or KEYWORDS)


def entities(excerpt: Excerpt, most: int | None) -> list[str]:
    """Names: runs of words with capitals, the most frequent first, then in the order of the text.

    One word that begins a sentence counts only if it stands with its capital elsewhere too.
    """
    text = excerpt.chunk.text
    begins = {match.start() for start, end in sentences(text) if (match := _LETTER.search(text, start, end))}
    sure: Counter[str] = Counter()
    doubtful: Counter[str] = Counter()
    order: dict[str, int] = {}
    for match in _NAME.finditer(text):
        name, begin = _POSSESSIVE.sub("", match[0]), match.start() in begins
        if begin and (found := _LEADING.match(name)):  # "The Vasa", "Sailors of the Royal Navy"
            name, begin = name[found.end() :], False
        if name.lower() in STOPWORDS or _CALENDAR.fullmatch(name) or len(name) < 2:
            continue
        (doubtful if begin and " " not in name and not name.isupper() else sure)[name] += 1
        order.setdefault(name, match.start())
    counted = Counter({name: count + doubtful[name] for name, count in sure.items()})
    return listed(sorted(counted, key=lambda name: (-counted[name], order[name])), most=most or ENTITIES)


def content_type(excerpt: Excerpt, most: int | None) -> str:
    """``faq``, ``procedure``, ``reference``, ``policy``, ``example``, ``concept`` or ``other``, the first that fits.

    Two or more questions; three or more numbered steps; mostly table rows, code or figures; then whatever of binding
    words, examples and definitions stands in a fifth of the sentences.
    """
    text = excerpt.chunk.text
    spans = sentences(text) or [(0, len(text))]
    said = [text[start:end] for start, end in spans]
    if sum(sentence.rstrip("\"'”)*").endswith("?") for sentence in said) >= max(2, len(said) / 4):
        return "faq"
    if len(_STEP.findall(text)) >= 3:
        return "procedure"
    lines = [line for line in text.splitlines() if line.strip()]
    if sum(_is_tabular(line) for line in lines) > len(lines) / 2:
        return "reference"
    for name, cue in (("policy", _RULE), ("example", _EXAMPLE), ("concept", _CONCEPT)):
        if sum(bool(cue.search(sentence)) for sentence in said) >= max(1, len(said) / 5):
            return name
    return "other"


def _is_tabular(line: str) -> bool:
    marks = sum(not character.isalpha() and not character.isspace() for character in line)
    return line.lstrip().startswith(("|", "    ")) or marks > len(line) / 3


def first_date(excerpt: Excerpt, most: int | None) -> str | None:
    """The earliest date in the text, as YYYY-MM-DD; of a month its first day."""
    return min((day.isoformat() for day in dates(excerpt.chunk.text)), default=None)


def last_date(excerpt: Excerpt, most: int | None) -> str | None:
    """The latest date in the text, as YYYY-MM-DD; of a month its first day."""
    return max((day.isoformat() for day in dates(excerpt.chunk.text)), default=None)


def dates(text: str) -> Iterator[date]:
    """The dates of a text in its order: ``2024-05-01``, ``2024-05``, ``1 May 2024``, ``May 1, 2024``, ``May 2024``.

    >>> [str(day) for day in dates("From 3rd March 2021 to 2021-12; the 31 Feb 2020 never was.")]
    ['2021-03-03', '2021-12-01']
    """
    for match in _DATE.finditer(text):
        parts = {name.rstrip("1234"): value for name, value in match.groupdict().items() if value is not None}
        month = parts.get("month")
        number = int(parts["number"]) if month is None else _MONTHS.index(month[:3].lower()) + 1
        try:
            yield date(int(parts["year"]), number, int(parts.get("day", 1)))
        except ValueError:  # a day that no calendar has
            continue


RULES: Mapping[RuleName, Callable[[Excerpt, int | None], Value | None]] = {
    "title": title,
    "summary": summary,
    "keywords": keywords,
    "entities": entities,
    "content-type": content_type,
    "first-date": first_date,
    "last-date": last_date,
}
"""The rules by the names that fields call them by; each takes the field's `most`."""
