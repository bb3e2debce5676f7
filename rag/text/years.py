"""The years that a question or a text speaks of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STRETCH = 50
"""Years before or after the named one over which an open period fades (MRAG, arXiv 2412.15540)."""
LOWEST, OUTSIDE = 0.6, 0.5

_YEAR = r"(?:1\d{3}|20\d{2})"
_ANY_YEAR = re.compile(rf"(?:(?<![\w.,])|(?<=\d[-/.])){_YEAR}(?:s\b|(?!\w|[.,]\d))")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = rf"(?:(?:the\s+year|early|mid|late|{_MONTH}|\d{{1,2}}(?:st|nd|rd|th)?|of|,)[\s,-]*){{0,4}}"
_WHEN = rf"{_DAY}({_YEAR})(?:-\d\d){{0,2}}\b"


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf",?\s*\b{pattern}", re.IGNORECASE)


_FORMS: tuple[tuple[Literal["between", "before", "after"], re.Pattern[str]], ...] = (
    ("between", _form(rf"between\s+{_WHEN}\s+and\s+{_WHEN}")),
    ("between", _form(rf"from\s+{_WHEN}\s*(?:to|until|till|through|-|–)\s*{_WHEN}")),
    ("between", _form(rf"(?:in|during)\s+({_YEAR})\s*[-–]\s*({_YEAR})\b")),
    ("before", _form(rf"(?:before|prior\s+to|until|till|by|up\s+to|as\s+of|earlier\s+than)\s+{_WHEN}")),
    ("after", _form(rf"(?:after|since|following|later\s+than|from)\s+{_WHEN}(?:\s+on(?:wards?)?\b)?")),
    ("between", _form(rf"(?:in|during|on|throughout)\s+{_WHEN}")),
)
_EARLIEST = re.compile(r"\b(?:first|earliest|originally|initial(?:ly)?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of years, both ends part of it; ``None`` is an open end. `earliest`: asked for the first, not the last.

    >>> Period(None, 2019).coefficient([1994, 2030])
    0.8
    """

    first: int | None
    last: int | None
    earliest: bool = False

    def coefficient(self, years: Sequence[int], *, newest: int | None = None) -> float:
        """How well years fit: 0.6 to 1 inside, the more the later (for `earliest`: the earlier), 0.5 outside.

        Of the years inside the last counts, for `earliest` the first.

        Args:
            newest: the collection's last year; an open period ends there rather than in a far future.
        """
        low = self.first if self.first is not None else (self.last or 0) - STRETCH
        high = self.last if self.last is not None else low + STRETCH
        if self.last is None and newest is not None:
            high = max(low, min(high, newest))
        inside = [year for year in years if low <= year <= high]
        if not inside:
            return OUTSIDE
        if low == high:
            return 1.0
        year = min(inside) if self.earliest else max(inside)
        share = (high - year if self.earliest else year - low) / (high - low)
        return LOWEST + (1 - LOWEST) * share


def years_in(text: str) -> list[int]:
    """The years from 1000 to 2099 that a text names, in their order; parts of longer numbers are none.

    >>> years_in("Raised in 1961, 333 years after 1628; 12,019 visitors.")
    [1961, 1628]
    """
    return [int(found[0][:4]) for found in _ANY_YEAR.finditer(text)]


def split_off(question: str) -> tuple[str, Period | None]:
    """The question without its period, and the period; ``None`` where it names none in words known here (English).

    >>> split_off("Who led the club before 2019?")
    ('Who led the club?', Period(first=None, last=2019, earliest=False))
    """
    for relation, form in _FORMS:
        found = form.search(question)
        if found is None:
            continue
        years = sorted(int(year) for year in found.groups() if year is not None)
        rest = f"{question[: found.start()]} {question[found.end() :]}".strip()
        rest = re.sub(r"\s+([?!.,])", r"\1", re.sub(r"\s{2,}", " ", rest)).lstrip(" ,")
        earliest = _EARLIEST.search(question) is not None
        first = None if relation == "before" else years[0]
        last = None if relation == "after" else years[-1]
        return (rest if rest.strip(" ?!.,") else question), Period(first, last, earliest)
    return question, None
