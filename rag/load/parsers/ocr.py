"""Reading the text of a picture with PaddleOCR's small PP-OCRv6 models (the family: arXiv 2507.05595).

Run by rapidocr, whose wheel holds the weights. It reads lines of printed Latin script, Chinese and Japanese, upright or
upside down. Scripts the models have not learned, such as Cyrillic, Arabic and Korean, come out as look-alikes or not at
all.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from rag.load.builder import squeeze
from rag.load.parsers.page import HYPHEN
from rag.load.parsers.reading_order import Line, in_reading_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture: TypeAlias = NDArray[np.uint8]

LONGEST_SIDE = 1600
"""Pixels to which a picture is brought: about 137 an inch on A4, and what bounds the memory one takes."""
MOST_DOTS_PER_INCH = 300
"""Small pages are not blown up further than this."""

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}


class Found(Protocol):
    """What rapidocr found; all ``None`` where it found nothing."""

    boxes: NDArray[np.float32] | None
    """(lines, 4, 2): corners in pixels"""
    txts: tuple[str, ...] | None


class Engine(Protocol):
    def __call__(self, picture: Picture, /) -> Found: ...


def recognize(picture: Picture, *, left: float, top: float, points: float, threads: int) -> list[Line]:
    """The lines on a picture, in reading order.

    Args:
        picture: (height, width, 3), blue, green, red.
        left: where the picture's top left corner lies, in PDF points; with `top`, which grows upwards.
        points: the side of a pixel in PDF points.

    Raises:
        ValueError: rapidocr is of a version that comes without its models.
    """
    engine = _engine(threads)
    found = engine(picture)
    if found.boxes is None and min(picture.shape[:2]) > 64:  # a few words alone on a page: found in small letters only
        found, points = engine(_halved(picture)), 2 * points
    lines = []
    for corners, text in zip(() if found.boxes is None else found.boxes, found.txts or (), strict=True):
        if not text.strip():
            continue
        (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        lines.append(
            Line(_divided(squeeze(text)), left + points * x0, top - points * y1, left + points * x1, top - points * y0)
        )
    return in_reading_order(lines)


def _halved(picture: Picture) -> Picture:
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    squares = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    halved: Picture = squares.mean(axis=(1, 3)).astype(picture.dtype)
    return halved


def _divided(text: str) -> str:
    """A hyphen that ends a line and a word marks that the word may go on."""
    return text[:-1] + HYPHEN if text[-1] == "-" and text[-2:-1].isalpha() else text


@cache
def _engine(threads: int) -> Engine:
    import rapidocr

    folder = Path(rapidocr.__file__).parent / "models"
    params: dict[str, str | int] = {
        "Global.log_level": "critical",
        "Global.max_side_len": LONGEST_SIDE,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
    }
    for step, name in _MODELS.items():
        if not (folder / name).is_file():  # left to itself it would fetch one from the network
            raise ValueError(f'{folder} has no {name}: pip install "ragloom[docs]"')
        params[f"{step}.model_path"] = str(folder / name)
    return cast("Engine", rapidocr.RapidOCR(params=params))
