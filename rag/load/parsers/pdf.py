"""PDF: the text layer, page by page, with a box for every line; by OCR where there is none and that is asked for."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.parsers.page import HYPHEN, Page, folded, write_page
from rag.load.parsers.reading_order import Line, in_reading_order
from rag.types import Scalar

Rect: TypeAlias = tuple[float, float, float, float]
"""left, bottom, right, top in PDF points, origin at the bottom left"""

_LAM_AFTER_ALEF = re.compile("[\u0622\u0623\u0625\u0627]\u0644")
_PRESENTATION_FORMS = re.compile("[\ufb00-\ufdff\ufe70-\ufefc]")
_LINE = re.compile("[^\r\n\ufffe]+\ufffe?")
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")
_NO_VALUE = frozenset({"untitled", "(anonymous)", "(unspecified)", "anonymous", "untitled document"})
_WIDE_GAP_HEIGHTS = 1.2


@dataclass(frozen=True, slots=True)
class PdfParser:
    """Reads what PDFium can open, rescued cross-reference tables included.

    Permission flags are no obstacle to reading; a password is needed only where the file cannot be decrypted without.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        document = _open(data, self.limits.password)
        try:
            pages = list(self._pages(document))
            if self.limits.ocr != "off" and not any(page.lines for page in pages):
                raise ValueError("no page has a text layer, and OCR found no text")
            builder = TextBuilder(self.limits)
            words = {word for page in pages for line in page.lines for word in line.text.split()}
            headings = _outline(document)
            for number, page in enumerate(pages, 1):
                with builder.part("page", str(number)):
                    write_page(page, number, builder, words, headings)
            return builder.parsed(_meta(document, pages))
        finally:
            document.close()

    def _pages(self, document: pdfium.PdfDocument) -> Iterator[Page]:
        characters = 0
        for number in range(len(document)):
            page = _read_page(document, number, self.limits)
            characters += sum(len(line.text) for line in page.lines)
            if characters > self.limits.max_characters:
                raise ValueError(f"it holds more than {self.limits.max_characters:,} characters of text")
            yield page


def _open(data: bytes, password: str | None) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data, password=password)
    except pdfium.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            wrong = "the password given is wrong" if password else "it needs a password (ingest.parse.password_env)"
            raise ValueError(f"the PDF is encrypted; {wrong}") from error
        raise ValueError("the PDF is damaged and could not be rescued") from error


def _read_page(document: pdfium.PdfDocument, number: int, limits: Limits) -> Page:
    try:
        page = document[number]
    except pdfium.PdfiumError:  # one damaged page of many; counted in the metadata as a page without text
        return Page([])
    text_page = page.get_textpage()
    try:
        box = page.get_bbox()
        turned = _Turn(page.get_rotation(), box)
        left, _, _, top = turned(box)
        lines = [] if limits.ocr == "always" else in_reading_order(list(_lines(text_page, turned)))
        if lines or limits.ocr == "off":
            return Page(lines, left, top)
        return Page(_recognized(page, left, top, limits.threads), left, top, recognized=True)
    finally:
        text_page.close()
        page.close()


def _recognized(page: pdfium.PdfPage, left: float, top: float, threads: int) -> list[Line]:
    """The lines that OCR reads on the page as it is shown."""
    import numpy as np

    from rag.load.parsers.ocr import LONGEST_SIDE, MOST_DOTS_PER_INCH, recognize

    scale = min(MOST_DOTS_PER_INCH / 72, LONGEST_SIDE / max(page.get_size()))
    bitmap = page.render(scale=scale, rev_byteorder=False)
    try:
        picture = np.ascontiguousarray(bitmap.to_numpy()[:, :, :3])
    finally:
        bitmap.close()
    return recognize(picture, left=left, top=top, points=1 / scale, threads=threads)


@dataclass(frozen=True, slots=True)
class _Turn:
    """From a rectangle as drawn to one as shown, on a page of `box` turned clockwise by `degrees`."""

    degrees: int
    box: Rect

    def __call__(self, rect: Rect) -> Rect:
        left, bottom, right, top = rect
        if self.degrees == 90:
            return bottom, self.box[2] - right, top, self.box[2] - left
        if self.degrees == 180:
            return self.box[2] - right, self.box[3] - top, self.box[2] - left, self.box[3] - bottom
        if self.degrees == 270:
            return self.box[3] - top, left, self.box[3] - bottom, right
        return rect


def _lines(page: pdfium.PdfTextPage, turned: _Turn) -> Iterator[Line]:
    """The lines in the order they were drawn, cut at wide gaps; a line whose word goes on ends with `HYPHEN`."""
    text = _ligatures_in_order(page, page.get_text_range())
    for match in _LINE.finditer(text):
        rects = [turned(page.get_rect(at)) for at in range(page.count_rects(match.start(), len(match.group())))]
        if not match.group().strip() or not rects:
            continue
        height = max(top - bottom for _, bottom, _, top in rects)
        gaps = [b[0] - a[2] for a, b in pairwise(rects)]
        if max(gaps, default=0) > _WIDE_GAP_HEIGHTS * height:
            inked = [at for at in range(match.start(), match.end()) if not text[at].isspace()]
            boxes = [(at, turned(page.get_charbox(at))) for at in inked]
            yield from _cut(text, boxes, height)
        else:
            yield _line(text[match.start() : match.end()], rects)


def _cut(text: str, boxes: Sequence[tuple[int, Rect]], height: float) -> Iterator[Line]:
    run: list[tuple[int, Rect]] = []
    for at, box in boxes:
        if run and box[0] - run[-1][1][2] > _WIDE_GAP_HEIGHTS * height:
            yield _line(text[run[0][0] : run[-1][0] + 1], [box for _, box in run])
            run = []
        run.append((at, box))
    if run:
        yield _line(text[run[0][0] : run[-1][0] + 1], [box for _, box in run])


def _line(text: str, rects: Sequence[Rect]) -> Line:
    if _PRESENTATION_FORMS.search(text):
        text = _PRESENTATION_FORMS.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
    goes_on = text.endswith(HYPHEN)
    text = squeeze(text.replace(HYPHEN, "")) + (HYPHEN if goes_on else "")
    lefts, bottoms, rights, tops = zip(*rects, strict=True)
    return Line(text, min(lefts), min(bottoms), max(rights), max(tops))


def _ligatures_in_order(page: pdfium.PdfTextPage, text: str) -> str:
    """Put the two letters of an Arabic lam-alef ligature in order: PDFium turns them round with the line around them.

    Two letters are one ligature where both are drawn at the same point.
    """
    if not _LAM_AFTER_ALEF.search(text):
        return text
    letters = list(text)
    for match in _LAM_AFTER_ALEF.finditer(text):
        at = match.start()
        if _origin(page, at) == _origin(page, at + 1):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def _origin(page: pdfium.PdfTextPage, at: int) -> tuple[float, float]:
    x, y = ctypes.c_double(), ctypes.c_double()
    raw.FPDFText_GetCharOrigin(page, at, x, y)
    return x.value, y.value


def _outline(document: pdfium.PdfDocument) -> dict[tuple[int, str], int]:
    """The bookmarks as (page number, folded title) -> heading level."""
    headings: dict[tuple[int, str], int] = {}
    for bookmark in document.get_toc(max_depth=6):
        target = bookmark.get_dest()
        page = target.get_index() if target is not None else None
        if page is not None:
            headings.setdefault((page + 1, folded(bookmark.get_title())), bookmark.level + 1)
    return headings


def _meta(document: pdfium.PdfDocument, pages: Sequence[Page]) -> dict[str, Scalar]:
    values = {key: squeeze(value) for key, value in document.get_metadata_dict().items()}
    values = {key: value for key, value in values.items() if value.casefold() not in _NO_VALUE}
    date = _DATE.match(values.get("CreationDate", ""))
    without_text = sum(not page.lines for page in pages)
    return {
        "title": values.get("Title"),
        "author": values.get("Author"),
        "created": "-".join(filter(None, date.groups())) if date else None,
        "pages": len(pages),
        "pages_without_text": without_text or None,
        "pages_read_by_ocr": sum(page.recognized and bool(page.lines) for page in pages) or None,
    }
