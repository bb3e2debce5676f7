"""Rows of tables as text, each with the names of its columns.

A chunk of rows is then understood without the header, by a reader as by an encoder, and a question that names a column
finds it: ``Name: Ada; Born: 1815`` says what ``Ada | 1815`` leaves to a line far above. In a long row the first cell
stands again every so often, since it says what the others are about.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import TypeAlias

Row: TypeAlias = Sequence[str]

_SEARCHED_ROWS = 10  # titles and notes may stand above the header
_NAMES_CHARACTERS = 3000  # longer names, all together, would be nearly all of the text
_LONG_ROW = 300  # characters after which the first cell is repeated: at least twice in a chunk of usual size
_SHORT_TABLE = 500  # characters of a table that hardly is divided: it reads best as it is
_YEAR = re.compile(r"(19|20)\d\d")
_NUMBER = re.compile(r"[-+(]?[$€£¥]? ?\d[\d.,' ]*([eE][-+]?\d+)? ?[%€)]?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\b.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}")


def file_rows(rows: Iterable[Row]) -> Iterator[str]:
    """The rows of a file that is one table, a text each: ``Name | Born``, then ``Name: Ada; Born: 1815``.

    The first row with most cells filled is the header if its cells are names; without one all rows are as the first. A
    row longer than the header keeps its extra cells, without names. The text of an empty row is empty.
    """
    remaining = iter(rows)
    first = list(islice(remaining, _SEARCHED_ROWS))
    at = _header(first, columns=2)
    if at is None:
        yield from map(plain_row, chain(first, remaining))
        return
    yield from map(plain_row, first[: at + 1])
    for row in chain(first[at + 1 :], remaining):
        yield "; ".join(_named(row, first[at]))


def table_rows(rows: Sequence[Row]) -> Iterator[str]:
    """The rows of a table in a document, those of a long table with names.

    Two columns are taken for a name and a value in each row, and a row with fewer or more cells than the header for one
    with merged cells, which do not stand below their names: these are plain.
    """
    long = sum(len(cell) for row in rows for cell in row) > _SHORT_TABLE
    at = _header(rows, columns=3) if long else None
    for number, row in enumerate(rows):
        if at is None or number <= at or len(row) != len(rows[at]):
            yield plain_row(row)
        else:
            yield "\n".join(_named(row, rows[at]))


def sheet_rows(rows: Iterable[Row]) -> Iterator[str]:
    """The rows of a sheet, which may hold several tables with empty rows between them; an empty text for these.

    Short tables and those of two columns are plain, as in `table_rows`. A table below another goes on with its names if
    it has numbers where that one had them. Otherwise, if its first row could as well be a row as a header, it is plain:
    wrong names would be worse than none.
    """
    above: _Columns | None = None
    for empty, table in groupby(rows, key=lambda row: not any(row)):
        if empty:
            yield ""
        else:
            above = (yield from _sheet_table(table, above)) or above


@dataclass(frozen=True, slots=True)
class _Columns:
    """The names of the columns, and which of these hold numbers or dates."""

    names: Row
    values: frozenset[int]

    @staticmethod
    def of(names: Row, rows: Sequence[Row]) -> _Columns:
        found = set()
        for at, name in enumerate(names):
            cells = [row[at] for row in rows if at < len(row) and row[at]]
            if name and cells and not _is_value(name) and sum(map(_is_value, cells)) > len(cells) / 2:
                found.add(at)
        return _Columns(names, frozenset(found))

    def go_on_in(self, rows: Sequence[Row]) -> bool:
        """Whether rows have numbers, and no words, where these columns have numbers."""
        values = [row[at] for row in rows for at in self.values if at < len(row) and row[at]]
        return bool(values) and all(map(_is_value, values)) and max(map(len, rows)) <= len(self.names)


def _sheet_table(rows: Iterator[Row], above: _Columns | None) -> Generator[str, None, _Columns | None]:
    """The texts of its rows; returns its columns if their names stand in them."""
    first: list[Row] = []
    characters = 0
    while characters <= _SHORT_TABLE and (row := next(rows, None)) is not None:
        first.append(row)
        characters += sum(map(len, row))
    if above is not None and above.go_on_in(first):
        for row in chain(first, rows):
            yield "\n".join(_named(row, above.names))
        return None
    at = _header(first, columns=3) if characters > _SHORT_TABLE else None
    columns = None if at is None else _Columns.of(first[at], first[at + 1 :])
    if at is None or columns is None or (above is not None and not columns.values):
        yield from map(plain_row, chain(first, rows))
        return None
    yield from map(plain_row, first[: at + 1])
    for row in chain(first[at + 1 :], rows):
        yield "\n".join(_named(row, columns.names))
    return columns


def plain_row(cells: Row) -> str:
    """Cells keep their places, but empty ones at the end are left out.

    >>> plain_row(["a", "", "b c", ""])
    'a |  | b c'
    """
    last = max((at for at, cell in enumerate(cells) if cell.strip()), default=-1)
    return " | ".join(cells[: last + 1])


def _named(cells: Row, names: Row) -> Iterator[str]:
    """
    >>> list(_named(["Ada", "", "1815", "?"], ["Name", "Town", "Born"]))
    ['Name: Ada; Born: 1815; ?']
    """
    names = [*names, *[""] * max(0, len(cells) - len(names))]
    pairs = [f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell]
    line: list[str] = []
    for pair in pairs:
        if line and sum(map(len, line)) + len(pair) > _LONG_ROW:
            yield "; ".join(line)
            line = [pairs[0][:_LONG_ROW]]
        line.append(pair)
    yield "; ".join(line)


def _header(rows: Sequence[Row], *, columns: int) -> int | None:
    """Which of the first rows names the columns, of which there are at least so many."""
    rows = rows[:_SEARCHED_ROWS]
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    width = max(filled, default=0)
    at = next((at for at, cells in enumerate(filled) if cells > width / 2), 0)
    if width < columns or not _names_columns(rows[at], rows[at + 1 :]):
        return None
    return at


def _names_columns(row: Row, below: Sequence[Row]) -> bool:
    """Whether cells are names: distinct, not too long, not found again below them, no labels of a form, no numbers.

    Years above other values are names too.
    """
    cells = [cell.strip() for cell in row]
    given = [cell for cell in cells if cell]
    if len(set(given)) < len(given) or sum(map(len, given)) > _NAMES_CHARACTERS:
        return False
    for at, cell in enumerate(cells):
        values = [other[at].strip() for other in below if at < len(other)]
        if cell.endswith(":") or (cell and cell in values):
            return False
        if _NUMBER.fullmatch(cell) and not (_YEAR.fullmatch(cell) and not any(map(_YEAR.fullmatch, values))):
            return False
    return True


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))
