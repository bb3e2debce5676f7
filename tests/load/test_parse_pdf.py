from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.parsers.reading_order import Line, in_reading_order
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

Parse = Callable[[bytes, str], Document]
MakePdf = Callable[..., bytes]
Sample = Callable[[str], bytes]


def test_pages_are_parts_and_lines_have_boxes(parse: Parse, pdf: MakePdf) -> None:
    info = "/Title(The Handbook)/Author(Ada)/CreationDate(D:20240501120000Z)"
    pages = [[(50, 500, "Dogs bark."), (50, 488, "Cats do not.")], [(50, 500, "Birds sing.")]]
    document = parse(pdf(pages, info=info), "a.pdf")
    assert document.text == "Dogs bark.\nCats do not.\n\nBirds sing."
    place = document.locate(document.text.index("Cats"), document.text.index("Birds") + 5)
    assert str(place) == "pages 1-2"
    cats = document.locate(document.text.index("Cats"), document.text.index("Cats") + 4).boxes
    assert [(box.page, document.text[box.start : box.end]) for box in cats] == [(1, "Cats do not.")]
    assert cats[0].left == pytest.approx(50, abs=1.5)
    # The baseline is 488 points above the bottom of a page of 600: 112 below its top.
    assert cats[0].top < 112 < cats[0].bottom + 1
    assert cats[0].bottom - cats[0].top < 12
    assert dict(document.meta) == {"title": "The Handbook", "author": "Ada", "created": "2024-05-01", "pages": 2}


def test_paragraphs_are_told_by_their_distance(parse: Parse, pdf: MakePdf) -> None:
    lines = [(50, 500, "One a"), (50, 488, "one b"), (50, 476, "one c"), (50, 446, "Two a"), (50, 434, "two b")]
    assert parse(pdf([lines]), "a.pdf").text == "One a\none b\none c\n\nTwo a\ntwo b"


def test_columns_drawn_row_by_row_are_read_column_by_column(parse: Parse, pdf: MakePdf) -> None:
    rows: list[tuple[int, int, str]] = [
        (50, 560, "A heading that reaches over both of the columns of this page, all of it")
    ]
    for row in range(8):
        rows.append((50, 500 - 12 * row, f"left column line number {row}"))
        rows.append((220, 500 - 12 * row, f"right column line number {row}"))
    lines = parse(pdf([rows]), "a.pdf").text.split("\n")
    body = [line for line in lines if "column line" in line]
    assert body == [f"{side} column line number {row}" for side in ("left", "right") for row in range(8)]
    assert lines[0].startswith("A heading")


def test_a_table_without_borders_stays_in_rows(parse: Parse, pdf: MakePdf) -> None:
    cells = [(50 + 90 * column, 500 - 14 * row, f"c{row}{column}") for row in range(7) for column in range(3)]
    assert parse(pdf([cells]), "a.pdf").text.split("\n")[:2] == ["c00 c01 c02", "c10 c11 c12"]


def test_a_turned_page_keeps_its_lines_and_boxes(parse: Parse, pdf: MakePdf) -> None:
    document = parse(pdf([[(50, 500, "Dogs bark."), (50, 488, "Cats do not.")]], page="/Rotate 180"), "a.pdf")
    assert sorted(document.text.split("\n")) == ["Cats do not.", "Dogs bark."]
    dogs = document.layout.boxes[0]
    assert dogs.right == pytest.approx(400 - 50, abs=1.5)  # turned round, the left margin of 50 is at the right
    assert dogs.top < 500 < dogs.bottom + 2


def test_arabic_is_in_reading_order_with_its_ligatures(parse: Parse, sample: Sample) -> None:
    document = parse(sample("right_to_left_01.pdf"), "a.pdf")
    assert "تحسين الإنتاجية وحل المشكلات" in document.text


def test_a_damaged_cross_reference_table_is_rescued(parse: Parse, sample: Sample) -> None:
    document = parse(sample("zen_of_python_corrupted.pdf"), "a.pdf")
    assert "Beautiful is better than ugly.\nExplicit is better than implicit." in document.text


def test_an_encrypted_file_says_so_and_opens_with_its_password(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sample("r6-user-password.pdf")
    source = Source(id="a", uri="a.pdf", name="a.pdf", read=lambda: data)
    with ParserPool(ParseSpec(workers=1, password_env="A_PASSWORD")) as pool:
        with pytest.raises(SourceError, match="encrypted; it needs a password"):
            pool.parse(source)
        monkeypatch.setenv("A_PASSWORD", "wrong")
        with pytest.raises(SourceError, match="the password given is wrong"):
            pool.parse(source)
        monkeypatch.setenv("A_PASSWORD", "asdfzxcv")
        assert "pdf encryption test" in pool.parse(source).text.casefold()


def test_a_scanned_file_is_an_error_that_says_how_to_read_it(parse: Parse, pdf: MakePdf) -> None:
    hint = r'set ingest.parse.ocr: auto and pip install "ragloom\[docs\]"'
    with pytest.raises(SourceError, match=f"no page has a text layer; {hint}"):
        parse(pdf([[], []]), "scan.pdf")
    with pytest.raises(SourceError, match=f"it is a picture; to read the text on it {hint}"):
        parse(b"\x89PNG\r\n\x1a\n" + bytes(100), "scan.png")


def test_pages_without_text_are_counted(parse: Parse, pdf: MakePdf) -> None:
    document = parse(pdf([[(50, 500, "Words")], []]), "a.pdf")
    assert (document.meta["pages"], document.meta["pages_without_text"]) == (2, 1)


def test_a_pdf_with_another_name_is_read_as_pdf(parse: Parse, pdf: MakePdf) -> None:
    assert parse(pdf([[(50, 500, "Words")]]), "a.docx").text == "Words"


numbers = st.integers(0, 400).map(float)
boxes = st.builds(
    lambda text, x, y, w, h: Line(text, x, y, x + w, y + h), st.text(max_size=30), numbers, numbers, numbers, numbers
)


@given(st.lists(boxes, max_size=40))
def test_reading_order_loses_and_adds_no_line(lines: list[Line]) -> None:
    def key(line: Line) -> tuple[str, float, float, float, float]:
        return (line.text, line.left, line.bottom, line.right, line.top)

    assert sorted(map(key, in_reading_order(lines))) == sorted(map(key, lines))
