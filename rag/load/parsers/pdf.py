"""PDF: the text layer, page by page, with a box for every line."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TypeAlias

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.parsers.reading_order import Line, in_reading_order
from rag.types import Box, Part, Scalar

Rect: TypeAlias = tuple[float, float, float, float]
"""left, bottom, right, top in PDF points, origin at the bottom left"""

_LAM_AFTER_ALEF = re.compile("[\u0622\u0623\u0625\u0627]\u0644")
_PRESENTATION_FORMS = re.compile("[\ufb00-\ufdff\ufe70-\ufefc]")
_LINE = re.compile("[^\r\n\ufffe]+\ufffe?")
_HYPHEN = "\ufffe"  # what PDFium gives for a hyphen at the end of a line whose word goes on
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")
_NO_VALUE = frozenset({"untitled", "(anonymous)", "(unspecified)", "anonymous", "untitled document"})
_WIDE_GAP_HEIGHTS = 1.2
_PARAGRAPH_PITCHES = 1.4


@dataclass(frozen=True, slots=True)
class _Page:
    """A page's lines in reading order, and the page's top left corner in PDF points."""

    lines: list[Line]
    left: float = 0.0
    top: float = 0.0


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
            if not any(page.lines for page in pages):
                raise ValueError(f"no text layer on any of its {len(pages)} pages; run OCR on it first")
            builder = TextBuilder(self.limits)
            words = {word for page in pages for line in page.lines for word in line.text.split()}
            headings = _outline(document)
            for number, page in enumerate(pages, 1):
                with builder.part("page", str(number)):
                    _write_page(page, number, builder, words, headings)
            return builder.parsed(_meta(document, pages))
        finally:
            document.close()

    def _pages(self, document: pdfium.PdfDocument) -> Iterator[_Page]:
        characters = 0
        for number in range(len(document)):
            page = _read_page(document, number)
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


def _read_page(document: pdfium.PdfDocument, number: int) -> _Page:
    try:
        page = document[number]
    except pdfium.PdfiumError:  # one damaged page of many; counted in the metadata as a page without text
        return _Page([])
    text_page = page.get_textpage()
    try:
        box = page.get_bbox()
        turned = _Turn(page.get_rotation(), box)
        left, _, _, top = turned(box)
        return _Page(in_reading_order(list(_lines(text_page, turned))), left, top)
    finally:
        text_page.close()
        page.close()


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
    """The lines in the order they were drawn, cut at wide gaps; a line whose word goes on ends with `_HYPHEN`."""
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
    goes_on = text.endswith(_HYPHEN)
    text = squeeze(text.replace(_HYPHEN, "")) + (_HYPHEN if goes_on else "")
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


def _write_page(
    page: _Page, number: int, builder: TextBuilder, words: set[str], headings: dict[tuple[int, str], int]
) -> None:
    pitch = _pitch(page.lines)
    previous: Line | None = None
    for at, line in enumerate(page.lines):
        following = page.lines[at + 1].text if at + 1 < len(page.lines) else ""
        text = _unhyphenated(line.text, following, words)
        if previous is not None and not previous.text.endswith(_HYPHEN):
            if previous.beside(line):
                builder.write(" ")
            else:
                builder.break_lines(2 if previous.bottom - line.bottom > _PARAGRAPH_PITCHES * pitch else 1)
        start, end = builder.write(text)
        edges = (line.left - page.left, page.top - line.top, line.right - page.left, page.top - line.bottom)
        left, upper, right, lower = (round(edge, 1) for edge in edges)
        builder.boxes.append(Box(start, end, number, left, upper, right, lower))
        if level := headings.get((number, _folded(text))):
            builder.parts.append(Part("heading", start, end, text, level))
        previous = line


def _pitch(lines: Sequence[Line]) -> float:
    """The usual distance from line to line, in points."""
    steps = [a.bottom - b.bottom for a, b in pairwise(lines)]
    return median([step for step, line in zip(steps, lines, strict=False) if 0 < step < 3 * line.height] or [12.0])


def _unhyphenated(text: str, following: str, words: set[str]) -> str:
    """A line without the hyphen that only the line break needed: ``us-`` + ``ing``, but not ``dual-`` + ``encoder``.

    The rest of the document decides where it has the word; otherwise a lower-case rest is a divided word.
    """
    if not text.endswith(_HYPHEN):
        return text
    head, rest = text[:-1], (following.split() or [""])[0].rstrip(_HYPHEN)
    word = head.rpartition(" ")[2]
    if word + rest in words:
        return head
    if f"{word}-{rest}" in words or not rest[:1].islower():
        return head + "-"
    return head


def _outline(document: pdfium.PdfDocument) -> dict[tuple[int, str], int]:
    """The bookmarks as (page number, folded title) -> heading level."""
    headings: dict[tuple[int, str], int] = {}
    for bookmark in document.get_toc(max_depth=6):
        target = bookmark.get_dest()
        page = target.get_index() if target is not None else None
        if page is not None:
            headings.setdefault((page + 1, _folded(bookmark.get_title())), bookmark.level + 1)
    return headings


def _folded(text: str) -> str:
    return squeeze(text).casefold()


def _meta(document: pdfium.PdfDocument, pages: Sequence[_Page]) -> dict[str, Scalar]:
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
    }
