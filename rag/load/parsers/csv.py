"""CSV: every row with the names of its columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder
from rag.load.decode import decode
from rag.types import Layout, Part

_DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_CHARACTERS = 1 << 16
_SNIFFED_ROWS = 50
_NAMED_COLUMNS = 40  # the names of more columns would be most of the text


@dataclass(frozen=True, slots=True)
class CsvParser:
    """The header as ``Name | Born``, then ``Name: Ada; Born: 1815`` for each row.

    A chunk of rows is then understood without the header, by a reader as by an encoder, and a question that names a
    column finds it. Line breaks in fields stay, so line n of the text is line n of the file. A row longer than the
    header keeps its extra cells, without names.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
        csv.field_size_limit(self.limits.max_characters)
        delimiter = "\t" if name.lower().endswith((".tsv", ".tab")) else _delimiter(text)
        builder = TextBuilder(self.limits)
        try:
            for line in _lines(csv.reader(StringIO(text, newline=""), delimiter=delimiter)):
                builder.write(line + "\n")
        except csv.Error as error:
            raise ValueError(f"it is no readable CSV: {error}") from error
        parsed = builder.parsed()
        table = (Part("table", 0, len(parsed.text)),) if parsed.text.strip() else ()
        return Parsed(text=parsed.text, layout=Layout(parts=table, lines=True))


def _lines(rows: Iterator[list[str]]) -> Iterator[str]:
    header: list[str] | None = None
    for row in rows:
        if header is None and any(row):
            header = row if _is_header(row) else []
            yield " | ".join(row).rstrip(" |")
        else:
            yield _row(row, header or [])


def _row(row: Sequence[str], header: Sequence[str]) -> str:
    """
    >>> _row(["Ada", "", "1815", "?"], ["Name", "Town", "Born"])
    'Name: Ada; Born: 1815; ?'
    """
    if not header or len(header) > _NAMED_COLUMNS:
        return " | ".join(row).rstrip(" |")
    names = [*header, *[""] * max(0, len(row) - len(header))]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)


def _is_header(row: Sequence[str]) -> bool:
    """Whether a first row names columns: distinct, mostly filled, and no numbers."""
    filled = [cell.strip() for cell in row if cell.strip()]
    return len(filled) > len(row) / 2 and len(set(filled)) == len(filled) and not any(map(_is_number, filled))


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _delimiter(text: str) -> str:
    """The delimiter that cuts the first rows into the most columns, counting only rows as long as the most frequent."""

    def columns(delimiter: str) -> float:
        sample = StringIO(text[:_SNIFFED_CHARACTERS], newline="")
        try:
            lengths = [len(row) for row in islice(csv.reader(sample, delimiter=delimiter), _SNIFFED_ROWS) if row]
        except csv.Error:
            return 0.0
        usual = max(set(lengths), key=lengths.count, default=1)
        return (usual - 1) * lengths.count(usual) / max(1, len(lengths))

    return max(_DELIMITERS, key=columns)
