"""Metadata without a model: what a text says of itself, found by rules.

Written for English and for what is the same elsewhere (headings, ISO dates, names with capitals); a rule that finds
nothing gives nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.enrich.keywords import TermStatistics
from rag.enrich.schema import Value, listed
from rag.text.dates import dates
from rag.text.names import names
from rag.text.sentences import sentences
from rag.types import Chunk, Document

if TYPE_CHECKING:
    from rag.enrich.specs import FieldSpec, RuleName

PATH = " > "
SUMMARY_WORDS, KEYWORDS, ENTITIES = 40, 10, 10

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
    sure: Counter[str] = Counter()
    doubtful: Counter[str] = Counter()
    order: dict[str, int] = {}
    for name in names(excerpt.chunk.text):
        (doubtful if name.doubtful else sure)[name.text] += 1
        order.setdefault(name.text, name.start)
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
