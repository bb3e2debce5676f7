"""CSV: every row with the names of its columns."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from itertools import islice

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder
from rag.load.decode import decode
from rag.load.parsers.rows import file_rows
from rag.types import Layout, Part

_DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_CHARACTERS = 1 << 16
_SNIFFED_ROWS = 50


@dataclass(frozen=True, slots=True)
class CsvParser:
    """The header as ``Name | Born``, then ``Name: Ada; Born: 1815`` for each row (`rag.load.parsers.rows`).

    Line breaks in fields stay, so line n of the text is line n of the file.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
        csv.field_size_limit(self.limits.max_characters)
        delimiter = "\t" if name.lower().endswith((".tsv", ".tab")) else _delimiter(text)
        builder = TextBuilder(self.limits)
        try:
            for line in file_rows(csv.reader(StringIO(text, newline=""), delimiter=delimiter)):
                builder.write(line + "\n")
        except csv.Error as error:
            raise ValueError(f"it is no readable CSV: {error}") from error
        parsed = builder.parsed()
        table = (Part("table", 0, len(parsed.text)),) if parsed.text.strip() else ()
        return Parsed(text=parsed.text, layout=Layout(parts=table, lines=True))


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
