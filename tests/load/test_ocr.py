"""Text on pictures, drawn here and read back; left out where the extra `docs` is not installed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

pytest.importorskip("rapidocr")
PIL = pytest.importorskip("PIL")

MakePdf = Callable[..., bytes]
Place = tuple[int, int, str]


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(ParseSpec(workers=1, timeout_seconds=30, ocr="auto")) as pool:
        yield pool


def parsed(pool: ParserPool, data: bytes, name: str) -> Document:
    return pool.parse(Source(id=name, uri=name, name=name, read=lambda: data))


def drawn(*pages: Sequence[Place], kind: str, size: tuple[int, int] = (800, 400), dpi: int = 144) -> bytes:
    """A picture file with the (left, top, text) of each page in letters 32 pixels high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(32)
    pictures = []
    for page in pages:
        picture = Image.new("RGB", size, "white")
        for left, top, text in page:
            ImageDraw.Draw(picture).text((left, top), text, font=font, fill="black")
        pictures.append(picture)
    target = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    pictures[0].save(target, kind, dpi=(dpi, dpi), **({"resolution": dpi} if kind == "PDF" else {}), **more)
    return target.getvalue()


DOGS = [(40, 60, "Dogs bark at 7 in the morning."), (40, 110, "Cats do not bark.")]
BIRDS = [(40, 60, "Birds sing at 5.")]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_the_lines_of_a_picture_are_read_with_their_boxes_in_points(pool: ParserPool, kind: str) -> None:
    document = parsed(pool, drawn(DOGS, kind=kind), "scan." + kind.lower())
    assert document.text == "Dogs bark at 7 in the morning.\nCats do not bark."
    place = document.locate(document.text.index("Cats"), len(document.text))
    assert str(place) == "page 1"
    (box,) = place.boxes
    assert document.text[box.start : box.end] == "Cats do not bark."
    # 144 pixels an inch: two pixels are one point. Letters stand a little below the top of their line.
    assert (box.left, box.top) == (pytest.approx(20, abs=4), pytest.approx(58, abs=5))
    assert box.bottom == pytest.approx(72, abs=5)


def test_every_page_of_a_tiff_is_a_page(pool: ParserPool) -> None:
    document = parsed(pool, drawn(DOGS, BIRDS, kind="TIFF"), "scan.tif")
    assert document.text.endswith("Cats do not bark.\n\nBirds sing at 5.")
    at = document.text.index("Birds")
    assert document.locate(at, at + 5).pages == (2, 2)
    assert document.meta["pages_read_by_ocr"] == 2


def test_a_scanned_pdf_is_read_page_by_page(pool: ParserPool) -> None:
    document = parsed(pool, drawn(DOGS, BIRDS, kind="PDF"), "scan.pdf")
    assert document.text == "Dogs bark at 7 in the morning.\nCats do not bark.\n\nBirds sing at 5."
    birds = document.layout.boxes[-1]
    assert (birds.page, document.text[birds.start : birds.end]) == (2, "Birds sing at 5.")
    assert birds.left == pytest.approx(20, abs=4)
    assert (document.meta["pages"], document.meta["pages_read_by_ocr"]) == (2, 2)
    assert "pages_without_text" not in document.meta
    assert all(a.end <= b.start for a, b in pairwise(document.layout.boxes))


def test_a_picture_without_text_is_an_error_that_says_so(pool: ParserPool) -> None:
    with pytest.raises(SourceError, match="OCR found no text"):
        parsed(pool, drawn([], kind="PNG"), "blank.png")
    with pytest.raises(SourceError, match="no page has a text layer, and OCR found no text"):
        parsed(pool, drawn([], kind="PDF"), "blank.pdf")


def test_a_damaged_picture_is_an_error_of_its_own(pool: ParserPool) -> None:
    with pytest.raises(SourceError, match="the picture is damaged"):
        parsed(pool, drawn(DOGS, kind="PNG")[:900], "half.png")


def test_a_page_with_a_text_layer_is_left_to_it_unless_ocr_is_always_wanted(pool: ParserPool, pdf: MakePdf) -> None:
    data = pdf([[(50, 500, "Dogs bark.")]])
    assert "pages_read_by_ocr" not in parsed(pool, data, "a.pdf").meta
    with ParserPool(ParseSpec(workers=1, ocr="always")) as always:
        document = parsed(always, data, "a.pdf")
    assert (document.text, document.meta["pages_read_by_ocr"]) == ("Dogs bark.", 1)
    (box,) = document.layout.boxes
    assert (box.left, box.bottom) == (pytest.approx(50, abs=4), pytest.approx(102, abs=5))


def test_ocr_honours_its_time_limit() -> None:
    with (
        ParserPool(ParseSpec(workers=1, ocr="auto", ocr_timeout_seconds=0.2)) as pool,
        pytest.raises(SourceError, match=r"takes longer than 0\.2 s"),
    ):
        parsed(pool, drawn(DOGS, kind="PNG"), "scan.png")
