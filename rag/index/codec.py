"""How values lie in the database.

Text is stored as UTF-8 bytes that keep lone surrogates, which file names and JSON can bring and SQLite's own text
cannot hold. Bytes sort as code points do, so comparing stored text is comparing strings.
"""

from __future__ import annotations

import json
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.types import Box, Layout, Meta, Part, Scalar

Stored: TypeAlias = bytes | int | float | None


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def decode(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")


def encode_meta(meta: Meta) -> str | None:
    """JSON, ``None`` when empty."""
    return json.dumps(dict(meta), separators=(",", ":")) if meta else None


def decode_meta(stored: str | None) -> Meta:
    return json.loads(stored) if stored else {}


def decode_access(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(json.loads(stored))


def encode_scalar(value: Scalar) -> tuple[str, Stored]:
    """A metadata value as (kind, value): values of different kinds never compare equal.

    Whole and fractional numbers are one kind; a number beyond 64 bits is kept to the nearest float.
    """
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", int(value)
    if isinstance(value, str):
        return "text", encode(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "number", math.copysign(math.inf, value) if abs(value) >= 2**1023 else float(value)
    return "number", value


def encode_layout(layout: Layout) -> str | None:
    """JSON in rows without names, ``None`` for an empty layout."""
    if layout == Layout():
        return None
    parts = [[part.kind, part.start, part.end, part.name, part.level] for part in layout.parts]
    boxes = [[box.start, box.end, box.page, box.left, box.top, box.right, box.bottom] for box in layout.boxes]
    return json.dumps([int(layout.lines), parts, boxes], separators=(",", ":"))


def decode_layout(stored: str | None) -> Layout:
    if stored is None:
        return Layout()
    lines, parts, boxes = json.loads(stored)
    return Layout(tuple(Part(*part) for part in parts), tuple(Box(*box) for box in boxes), bool(lines))


def widen(stored: bytes, count: int) -> NDArray[np.int64]:
    """`count` non-negative numbers of equal width; the width follows from the length."""
    return np.frombuffer(stored, f"<u{len(stored) // count if count else 1}").astype(np.int64)
