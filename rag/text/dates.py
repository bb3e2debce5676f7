"""Dates in the forms people write, in English and ISO."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

MONTH = (
    r"(?P<month{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_TWELVE = "January February March April May June July August September October November December"
_NAMES = _TWELVE.split()
_MONTHS = [name[:3].lower() for name in _NAMES]
_NUMBER = re.compile(r"\d+")
_YEAR = r"(?P<year{0}>1[5-9]\d\d|20\d\d)"
_DATE = re.compile(
    rf"\b(?:{_YEAR.format(1)}-(?P<number1>\d\d)(?:-(?P<day1>\d\d))?"
    rf"|(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\s+{MONTH.format(2)}\s+{_YEAR.format(2)}"
    rf"|{MONTH.format(3)}\s+(?P<day3>\d{{1,2}})(?:st|nd|rd|th)?,?\s+{_YEAR.format(3)}"
    rf"|{MONTH.format(4)}\s+{_YEAR.format(4)})\b(?!-\d)",
    re.IGNORECASE,
)


def dates(text: str) -> Iterator[date]:
    """The dates of a text in its order: ``2024-05-01``, ``2024-05``, ``1 May 2024``, ``May 1, 2024``, ``May 2024``.

    Of a month its first day.

    >>> [str(day) for day in dates("From 3rd March 2021 to 2021-12; the 31 Feb 2020 never was.")]
    ['2021-03-03', '2021-12-01']
    """
    for _, day in dated(text):
        yield day


def dated(text: str) -> Iterator[tuple[tuple[int, int], date]]:
    """The same, each with the ``[start, end)`` where it stands."""
    for match in _DATE.finditer(text):
        parts = {name.rstrip("1234"): value for name, value in match.groupdict().items() if value is not None}
        month = parts.get("month")
        number = int(parts["number"]) if month is None else _MONTHS.index(month[:3].lower()) + 1
        try:
            yield match.span(), date(int(parts["year"]), number, int(parts.get("day", 1)))
        except ValueError:  # a day that no calendar has
            continue


def spellings(text: str) -> list[str]:
    """Other ways to write a date that has a day, itself first; any other text alone.

    >>> spellings("Aug. 16th, 1954")
    ['Aug. 16th, 1954', '16 August 1954', 'August 16, 1954', '1954-08-16']
    """
    day = next((day for span, day in dated(text) if span == (0, len(text))), None)
    if day is None or len(_NUMBER.findall(text)) < (2 if re.search("[a-z]{3}", text, re.IGNORECASE) else 3):
        return [text]
    name = _NAMES[day.month - 1]
    forms = (text, f"{day.day} {name} {day.year}", f"{name} {day.day}, {day.year}", day.isoformat())
    return list(dict.fromkeys(forms))
