"""Metadata as an evaluation sees it: which chunks are the right ones, and whether what is found is of their kind.

Measures of the metadata framework, arXiv 2512.05411, whose exact definitions could not be checked. With its three
indexing conditions the hit rate is that of `rag.evaluate.metrics`, on chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rag.types import Chunk, Scalar, Span


def chunk_grades(chunks: Iterable[Chunk], gold: Sequence[Span]) -> dict[str, int]:
    """The chunks that have gold text, by id, graded by how many of its characters they have.

    Gold text that two spans share counts once for each. A judgement of a whole document is the span of its text.

    >>> chunks = [Chunk(span=Span("d", 0, 5), text="abcde"), Chunk(span=Span("d", 5, 9), text="fghi")]
    >>> list(chunk_grades(chunks, [Span("d", 4, 8)]).values())
    [1, 3]
    """
    by_document: dict[str, list[Span]] = {}
    for span in gold:
        by_document.setdefault(span.document_id, []).append(span)
    grades: dict[str, int] = {}
    for chunk in chunks:
        span = chunk.span
        shared = sum(
            max(0, min(span.end, right.end) - max(span.start, right.start))
            for right in by_document.get(span.document_id, ())
        )
        if shared:
            grades[chunk.id] = shared
    return grades


def best_chunk(grades: Mapping[str, int]) -> str | None:
    """The id with the highest grade, ties by id; ``None`` where no grade is above 0."""
    right = [id_ for id_, grade in grades.items() if grade > 0]
    return min(right, key=lambda id_: (-grades[id_], id_)) if right else None


def metadata_consistency(found: Sequence[Scalar], wanted: Scalar, *, k: int) -> float | None:
    """The share of the first `k` values that equal that of the best right chunk.

    Fewer than `k` found are divided by their own number: what is missing has no kind. ``None`` where nothing was found,
    or the right chunk has no value: the metric has none there, and the question belongs in no mean. Values of another
    type are never equal.

    Args:
        found: a field's values of the chunks found, best first; ``None`` for a chunk without the field.
        wanted: the value of the best right chunk.

    >>> metadata_consistency(["faq", "policy", "faq", None], "faq", k=3)
    0.6666666666666666
    """
    if wanted is None or not found:
        return None
    first = found[:k]
    return sum(type(value) is type(wanted) and value == wanted for value in first) / len(first)
