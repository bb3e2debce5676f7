"""Pictures of text: PNG, JPEG, and TIFF with any number of pages. Read by OCR, a box for every line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder
from rag.load.parsers.ocr import LONGEST_SIDE, recognize
from rag.load.parsers.page import Page, write_page

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "TIFF")
_MOST_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class ImageParser:
    """Reads page by page. A picture that does not say how large it is counts as 72 pixels an inch."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        try:
            pages = list(self._pages(data))
        except (OSError, SyntaxError) as error:  # what Pillow raises for damaged files
            raise ValueError(f"the picture is damaged: {error}") from error
        if not any(page.lines for page in pages):
            raise ValueError("OCR found no text in it")
        builder = TextBuilder(self.limits)
        words = {word for page in pages for line in page.lines for word in line.text.split()}
        for number, page in enumerate(pages, 1):
            with builder.part("page", str(number)):
                write_page(page, number, builder, words, {})
        return builder.parsed({"pages": len(pages), "pages_read_by_ocr": sum(bool(page.lines) for page in pages)})

    def _pages(self, data: bytes) -> Iterator[Page]:
        from PIL import Image, ImageOps

        with Image.open(io.BytesIO(data), formats=_FORMATS) as file:
            for number in range(getattr(file, "n_frames", 1)):
                file.seek(number)
                if file.width * file.height > _MOST_PIXELS:
                    raise ValueError(f"it has {file.width} x {file.height} pixels, more than {_MOST_PIXELS:,}")
                points = 72 / _pixels_per_inch(file)
                picture = ImageOps.exif_transpose(file)
                width = picture.width
                picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
                bgr = np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])
                scale = points * width / picture.width
                lines = recognize(bgr, left=0.0, top=0.0, points=scale, threads=self.limits.threads)
                yield Page(lines, recognized=True)


def _pixels_per_inch(picture: Image) -> float:
    across, _ = picture.info.get("dpi", (72, 72))
    return float(across) if across >= 1 else 72.0
