"""Making postings: inverting the terms of new chunks, and merging the postings of segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from rag.index.codec import narrow, widen


@dataclass(frozen=True, slots=True)
class TermPostings:
    """Where one term stands in one segment, as stored.

    `rows` are uint32 offsets in the segment, ascending; `counts` how often the term is in each; `positions` its places
    in the chunk's list of terms, row after row.
    """

    term: str
    rows: bytes
    counts: bytes
    positions: bytes


def invert(chunks: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], Iterator[TermPostings]]:
    """The number of terms of each chunk, and the postings of every term, in the order of terms."""
    vocabulary: dict[str, int] = {}
    lengths = np.fromiter(map(len, chunks), np.int64, len(chunks))
    total = int(lengths.sum())
    ids = np.fromiter((vocabulary.setdefault(t, len(vocabulary)) for chunk in chunks for t in chunk), np.int64, total)
    return lengths, _grouped(sorted(vocabulary), vocabulary, ids, lengths)


def _grouped(
    terms: list[str], vocabulary: dict[str, int], ids: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Iterator[TermPostings]:
    if not terms:
        return
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rank = np.empty(len(terms), np.int64)
    rank[[vocabulary[term] for term in terms]] = np.arange(len(terms))
    ordered = rank[ids]
    order = np.argsort(ordered, kind="stable")  # stable: within a term by row, within a row by position
    ordered, rows, positions = ordered[order], rows[order], positions[order]
    first = np.flatnonzero(np.diff(ordered * len(lengths) + rows, prepend=-1))  # of each (term, row)
    counts = np.diff(first, append=len(ordered))
    starts = np.searchsorted(ordered[first], np.arange(len(terms) + 1))
    row_of = rows[first].astype("<u4")
    ends = np.append(first, len(ordered))
    for at, term in enumerate(terms):
        here = slice(starts[at], starts[at + 1])
        places = positions[ends[starts[at]] : ends[starts[at + 1]]]
        yield TermPostings(term, row_of[here].tobytes(), narrow(counts[here]), narrow(places))


def merged(sources: Sequence[tuple[Iterable[TermPostings], NDArray[np.int64]]]) -> Iterator[TermPostings]:
    """The postings of several segments as one, in the order of terms.

    Args:
        sources: for each segment its postings in the order of terms, and the new offset of each of its rows, -1 for
            rows that are dropped. New offsets ascend within a segment and from segment to segment.
    """
    moved = merge(*(_moved(postings, offsets) for postings, offsets in sources), key=attrgetter("term"))
    for term, parts in groupby(moved, key=attrgetter("term")):
        together = list(parts)
        rows, counts, positions = (np.concatenate([getattr(p, name) for p in together]) for name in _Moved.ARRAYS)
        if len(rows):
            yield TermPostings(term, rows.astype("<u4").tobytes(), narrow(counts), narrow(positions))


class _Moved:
    """One term's postings under new row numbers, unpacked."""

    ARRAYS = ("rows", "counts", "positions")

    def __init__(self, postings: TermPostings, offsets: NDArray[np.int64]) -> None:
        self.term = postings.term
        rows = offsets[np.frombuffer(postings.rows, "<u4")]
        counts = widen(postings.counts, len(rows)).astype(np.int64)
        positions = widen(postings.positions, int(counts.sum())).astype(np.int64)
        kept = rows >= 0
        if not kept.all():
            positions = positions[np.repeat(kept, counts)]
            rows, counts = rows[kept], counts[kept]
        self.rows, self.counts, self.positions = rows, counts, positions


def _moved(postings: Iterable[TermPostings], offsets: NDArray[np.int64]) -> Iterator[_Moved]:
    return (_Moved(one, offsets) for one in postings)
