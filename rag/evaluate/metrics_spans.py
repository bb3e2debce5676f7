"""How much of the right text was found, and how much else, in characters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag.types import Span


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares of characters: right among found, found among right, and found and right among either."""

    precision: float
    recall: float
    iou: float


def overlap(found: Iterable[Span], gold: Iterable[Span]) -> Overlap:
    """Character precision, recall and intersection over union of two sets of spans.

    Spans of one document are merged first, so what is found twice counts once and recall never exceeds 1 (the reference
    code of LegalBench-RAG, arXiv 2408.10343, adds overlapping results up). Nothing found is 0 in all three.

    Raises:
        ValueError: there is no gold text.

    >>> overlap([Span("a", 0, 100), Span("a", 40, 140)], [Span("a", 50, 90)]).recall
    1.0
    """
    ours, right = _merged(found), _merged(gold)
    wanted, got = _length(right), _length(ours)
    if not wanted:
        raise ValueError("there is no gold text: the metric has no value")
    both = sum(_common(ours[document], right[document]) for document in ours.keys() & right.keys())
    return Overlap(both / got if got else 0.0, both / wanted, both / (got + wanted - both))


def touches(span: Span, gold: Iterable[Span]) -> bool:
    """Whether a span has a character in common with any of the gold spans."""
    return any(
        span.document_id == right.document_id and max(span.start, right.start) < min(span.end, right.end)
        for right in gold
    )


Ranges = list[tuple[int, int]]


def _merged(spans: Iterable[Span]) -> dict[str, Ranges]:
    """Sorted disjoint ranges by document."""
    merged: dict[str, Ranges] = {}
    for span in sorted(spans):
        ranges = merged.setdefault(span.document_id, [])
        if ranges and span.start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], span.end))
        else:
            ranges.append((span.start, span.end))
    return merged


def _length(ranges: dict[str, Ranges]) -> int:
    return sum(end - start for of_document in ranges.values() for start, end in of_document)


def _common(ours: Ranges, right: Ranges) -> int:
    """Characters in both, by one pass over both lists."""
    total = i = j = 0
    while i < len(ours) and j < len(right):
        total += max(0, min(ours[i][1], right[j][1]) - max(ours[i][0], right[j][0]))
        if ours[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return total
