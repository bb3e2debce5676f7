"""How often two phrases stand near each other, or in the same document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.index.ngrams.segment import LiveSegment


def pairs_within(
    segment: LiveSegment, first: Sequence[bytes], second: Sequence[bytes], *, window: int, most: int
) -> tuple[int, bool]:
    """Pairs of an occurrence of each phrase in one document whose first words are at most `window` words apart.

    Overlapping occurrences count, and so does an occurrence with itself where both phrases are the same.

    Args:
        most: occurrences of each phrase looked at.

    Returns:
        The count, and whether all occurrences were looked at; else it is a lower bound.
    """
    left, all_left = segment.positions(first, most=most)
    right, all_right = segment.positions(second, most=most)
    if len(right) < len(left):
        left, right = right, left
    if not len(left):
        return 0, all_left and all_right
    documents = segment.documents_at(left)
    starts = segment.segment.starts
    low = np.maximum(left.astype(np.int64) - window, starts[documents])
    high = np.minimum(left.astype(np.int64) + window, starts[documents + 1] - 1)
    found = np.searchsorted(right, high, side="right") - np.searchsorted(right, low, side="left")
    return int(found.sum()), all_left and all_right


def documents_with_both(
    segment: LiveSegment, first: Sequence[bytes], second: Sequence[bytes], *, most: int
) -> tuple[int, bool]:
    """Documents that hold both phrases, and whether all occurrences were looked at."""
    left, all_left = segment.positions(first, most=most)
    right, all_right = segment.positions(second, most=most)
    both = np.intersect1d(segment.documents_at(left), segment.documents_at(right))
    return len(both), all_left and all_right
