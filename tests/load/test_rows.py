"""Rows of tables as text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.load.parsers.rows import file_rows, sheet_rows, table_rows

HEADER = ["Pump", "Site", "Flow"]
LONG = [[f"P-{number}", "Hull, the harbour", str(number)] for number in range(30)]  # more than 500 characters


def test_a_header_below_notes_names_the_cells_of_its_columns() -> None:
    rows = [["Account", "12"], ["", ""], ["Day", "Payee", "Purpose", "Amount"], ["1 May", "Shop", "", "-3,50", "late"]]
    assert list(file_rows(rows)) == [
        "Account | 12",
        "",
        "Day | Payee | Purpose | Amount",
        "Day: 1 May; Payee: Shop; Amount: -3,50; late",
    ]


def test_a_row_of_numbers_is_no_header_but_years_above_other_values_are_names() -> None:
    assert list(file_rows([["Tea", "1,200"], ["Milk", "900"]])) == ["Tea | 1,200", "Milk | 900"]
    assert (
        list(file_rows([["Region", "2021", "2022"], ["North", "7", "1,450"]]))[1]
        == "Region: North; 2021: 7; 2022: 1,450"
    )
    assert list(file_rows([["Ada", "1815"], ["Alan", "1912"]])) == ["Ada | 1815", "Alan | 1912"]


def test_a_long_row_repeats_its_first_cell() -> None:
    names = [f"column {number:02}" for number in range(30)]
    text = next(row for row in list(file_rows([names, [f"value {number:02}" for number in range(30)]]))[1:])
    # "column 00: value 00" has 19 characters: 15 of them are 285, a sixteenth would be over 300
    assert text.split("; ")[14:17] == ["column 14: value 14", "column 00: value 00", "column 15: value 15"]
    assert text.count("column 00: value 00") == 3
    assert all(f"column {number:02}: value {number:02}" in text for number in range(30))


def test_a_long_table_of_a_document_has_names_and_a_short_one_stands_as_it_is() -> None:
    assert list(table_rows([HEADER, *LONG]))[:2] == [
        "Pump | Site | Flow",
        "Pump: P-0; Site: Hull, the harbour; Flow: 0",
    ]
    assert list(table_rows([HEADER, *LONG[:3]]))[1] == "P-0 | Hull, the harbour | 0"


def test_rows_with_merged_cells_and_tables_of_two_columns_get_no_names() -> None:
    merged = ["P-7 and P-8", "closed"]
    assert list(table_rows([HEADER, *LONG, merged]))[-1] == "P-7 and P-8 | closed"
    form = [["Company", "Acme"], *[[f"Field {number}", "some words of a value"] for number in range(30)]]
    assert list(table_rows(form))[1] == "Field 0 | some words of a value"


def test_labels_of_a_form_are_no_names() -> None:
    rows = [["From:", "Acme", "To:", "Bob"], *[["", "A street", "", f"Some town {number}"] for number in range(40)]]
    assert list(table_rows(rows))[1] == " | A street |  | Some town 0"


def test_each_table_of_a_sheet_has_its_own_names_and_none_those_of_another() -> None:
    title: Sequence[str] = ["Pumps of the works", "", ""]
    staff = [[f"Ada {number}", "planner", "Hull, the harbour"] for number in range(30)]
    counts = [[f"P-{number}", "harbour and town", str(number)] for number in range(30)]
    rows = [title, [""], HEADER, *LONG, [], *staff, [""], ["Unit", "Place", "Spares"], *counts]
    lines = list(sheet_rows(rows))
    assert lines[:4] == ["Pumps of the works", "", "Pump | Site | Flow", "Pump: P-0; Site: Hull, the harbour; Flow: 0"]
    # A table of words alone: its first row may be a header or not.
    assert lines[33:36] == ["", "Ada 0 | planner | Hull, the harbour", "Ada 1 | planner | Hull, the harbour"]
    assert lines[64:67] == ["", "Unit | Place | Spares", "Unit: P-0; Place: harbour and town; Spares: 0"]


def test_a_table_goes_on_below_an_empty_row_with_numbers_where_it_had_them() -> None:
    more = [["P-90", "York", "7"], ["P-91", "Leeds", "8"]]
    lines = list(sheet_rows([HEADER, *LONG, [], *more, [], ["Total", "", "435"], [], ["Seen by", "Ada", "and Bob"]]))
    assert lines[31:] == [
        "",
        "Pump: P-90; Site: York; Flow: 7",
        "Pump: P-91; Site: Leeds; Flow: 8",
        "",
        "Pump: Total; Flow: 435",
        "",
        "Seen by | Ada | and Bob",
    ]


def test_a_first_row_whose_cells_recur_below_is_no_header() -> None:
    assert list(file_rows([["Ada", "Hull"], ["Bob", "Hull"]])) == ["Ada | Hull", "Bob | Hull"]


cells = st.lists(st.lists(st.text("ab1 |:;", max_size=40), max_size=6), max_size=30)


@pytest.mark.parametrize("as_text", [file_rows, table_rows, sheet_rows])
@given(rows=cells)
def test_no_cell_is_lost(as_text, rows: list[list[str]]) -> None:
    text = "\n".join(as_text(rows))
    assert all(cell in text for row in rows for cell in row if cell.strip())
