"""Excel: sheet by sheet, each row with the names of its columns."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from io import BytesIO
from itertools import groupby

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from rag.load.archive import Archive
from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.parsers.office import core_properties
from rag.load.parsers.rows import sheet_rows


@dataclass(frozen=True, slots=True)
class XlsxParser:
    """Values as last computed, one line a row (`rag.load.parsers.rows`); an empty row ends a table.

    Read row by row: only the shared strings are in memory at once. Hidden sheets are read too, charts are not.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        archive = Archive.open(data, self.limits)
        archive.check_xml()
        builder = TextBuilder(self.limits)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions, which do not matter to the text
                workbook = load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
                for sheet in workbook.worksheets:
                    sheet.reset_dimensions()  # what a file says of its own size is often wrong
                    with builder.part("sheet", sheet.title):
                        rows = ([squeeze(_shown(value)) for value in row] for row in sheet.iter_rows(values_only=True))
                        for filled, lines in groupby(sheet_rows(rows), key=bool):
                            if filled:
                                _write_table(lines, builder)
        except (InvalidFileException, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the workbook is damaged: {error}") from error
        return builder.parsed(core_properties(archive))


def _write_table(lines: Iterable[str], builder: TextBuilder) -> None:
    with builder.part("table"):
        for line in lines:
            builder.line(line)


def _shown(value: object) -> str:
    """A cell's value as text.

    >>> [_shown(value) for value in (None, 3.0, True, datetime(2024, 5, 1), 0.1)]
    ['', '3', 'TRUE', '2024-05-01', '0.1']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
