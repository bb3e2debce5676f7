"""Windows of tokens over a text that is too long, or too mixed, to be scored at once."""

from __future__ import annotations

from collections.abc import Sequence


def windows(offsets: Sequence[tuple[int, int]], *, size: int, overlap: int) -> list[tuple[int, int]]:
    """The code-point ranges of windows of at most `size` tokens that each share `overlap` with the one before.

    The last window is full too, so it may share more. One window if everything fits; none without tokens.

    Args:
        offsets: the range of each token.

    >>> windows([(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)], size=3, overlap=1)
    [(0, 5), (4, 9)]
    >>> windows([(0, 1), (2, 3), (4, 5), (6, 7)], size=3, overlap=1)
    [(0, 5), (2, 7)]
    """
    if not 0 <= overlap < size:
        raise ValueError(f"expected 0 <= overlap < size, got overlap {overlap}, size {size}")
    if not offsets:
        return []
    starts = list(range(0, max(1, len(offsets) - size + 1), size - overlap))
    if starts[-1] + size < len(offsets):
        starts.append(len(offsets) - size)
    return [(offsets[start][0], offsets[min(start + size, len(offsets)) - 1][1]) for start in starts]
