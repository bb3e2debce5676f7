"""The order in which a person reads the lines of a page.

The order of the file's drawing commands is right for nearly every PDF and is kept, with one exception: pages whose
columns were drawn row by row. They are told from tables by long text on both sides of one gutter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_ROWS = 5  # fewer rows side by side are a table or a caption
_SHARE_OF_GUTTER = 0.6
_SHARE_CROSSING = 0.3
_COLUMN_CHARACTERS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """Text drawn on one line, or its part left or right of a wide gap; PDF points, origin at the bottom left."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def height(self) -> float:
        return self.top - self.bottom

    def beside(self, other: Line) -> bool:
        """Whether `other` stands to the right on the same row."""
        overlap = min(self.top, other.top) - max(self.bottom, other.bottom)
        return overlap > 0.5 * min(self.height, other.height) and other.left >= self.right - 1


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Reorder lines of columns that were drawn row by row; any other order is kept."""
    gutter = _gutter(lines)
    if gutter is None:
        return list(lines)
    ordered: list[Line] = []
    left: list[Line] = []
    right: list[Line] = []
    for line in sorted(lines, key=lambda line: -line.top):
        if line.left < gutter < line.right:  # across both columns: what stands above is read first
            ordered += in_reading_order(left) + in_reading_order(right) + [line]
            left, right = [], []
        else:
            (left if line.right <= gutter else right).append(line)
    return ordered + in_reading_order(left) + in_reading_order(right)


def _gutter(lines: Sequence[Line]) -> float | None:
    """Where the empty stretch between two columns of running text lies, if they were drawn row by row."""
    rows = [(a, b) for a, b in pairwise(lines) if a.beside(b)]
    if len(rows) < _ROWS:
        return None
    middles = [(a.right + b.left) / 2 for a, b in rows]
    best = max(middles, key=lambda x: sum(a.right <= x <= b.left for a, b in rows))
    there = [(a, b) for a, b in rows if a.right <= best <= b.left]
    crossing = sum(line.left < best < line.right for line in lines)
    if len(there) < max(_ROWS, _SHARE_OF_GUTTER * len(rows)) or crossing > _SHARE_CROSSING * len(lines):
        return None
    columns = median(len(a.text) for a, _ in there), median(len(b.text) for _, b in there)
    return best if min(columns) >= _COLUMN_CHARACTERS else None
