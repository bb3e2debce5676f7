"""Merging segments: fewer files and postings to look into, and no room for deleted chunks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.index import tables
from rag.index.database import VECTORS
from rag.index.inverted import Source, merged
from rag.index.postings import stored_postings
from rag.index.segments import Segment, read_segment
from rag.index.store import Store

MOST = 4  # segments left alone
ROWS_MOST = 65_536  # of a merged segment: what a merge has in memory does not grow with the index
DEAD = 0.2  # share of deleted rows from which a segment is rewritten
ROWS = 1024  # vectors copied at a time


def to_merge(segments: Sequence[Segment]) -> list[Segment]:
    """The segments to make one of: those with many deleted rows, and the smallest ones where there are too many.

    A segment joins while it is at most twice as large as those before it together, so that a vector is rewritten a
    logarithmic number of times however the documents come in. None joins beyond `ROWS_MOST` live rows; what has more
    than half as many is left alone. Several merges may be due: ask again after each.
    """
    wasteful = [segment for segment in segments if segment.rows - segment.live > DEAD * segment.rows]
    rest = [segment for segment in small(segments) if segment not in wasteful]
    chosen, total = list[Segment](), 0
    for segment in sorted(wasteful, key=lambda segment: segment.live):
        if not chosen or total + segment.live <= ROWS_MOST:
            chosen.append(segment)
            total += segment.live
    rest.sort(key=lambda segment: segment.live)
    while rest and total + rest[0].live <= ROWS_MOST:
        if len(rest) < MOST and (len(chosen) < 2 or rest[0].live > 2 * total):
            break
        chosen.append(rest.pop(0))
        total += chosen[-1].live
    return sorted(chosen, key=lambda segment: segment.id) if len(chosen) > 1 or wasteful else []


def small(segments: Sequence[Segment]) -> list[Segment]:
    """The segments that others may join."""
    return [segment for segment in segments if segment.live <= ROWS_MOST // 2]


def merge(store: Store, snapshot: sqlite3.Connection, segments: Sequence[Segment]) -> Segment | None:
    """Write the live rows of `segments` as one new segment, in their order, and delete the old; ``None``: none lived.

    Args:
        store: in a transaction.
        snapshot: reads what was committed before it.
    """
    kept = [segment.documents != 0 for segment in segments]
    chunks = np.concatenate([segment.chunks[live] for segment, live in zip(segments, kept, strict=True)])
    new: Segment | None = None
    if len(chunks):
        file, size, checksum = None, 0, ""
        if segments[0].file is not None:
            file, size, checksum = store.write_vectors(_vectors(store, segments, kept))
        new = Segment(
            id=tables.take_numbers(store.connection, "segment", 1),
            chunks=chunks,
            documents=np.concatenate([s.documents[live] for s, live in zip(segments, kept, strict=True)]),
            lengths=_lengths(segments, kept),
            file=file,
            bytes=size,
            checksum=checksum,
        )
        tables.insert_segment(store.connection, new)
        offsets = zip(segments, _offsets(kept), strict=True)
        sources = [Source(stored_postings(snapshot, segment.id), new_rows) for segment, new_rows in offsets]
        tables.insert_postings(store.connection, new.id, merged(sources))
    tables.delete_segments(store.connection, segments)
    return new


def _vectors(store: Store, segments: Sequence[Segment], kept: Sequence[NDArray[np.bool_]]) -> Iterator[Vectors]:
    for segment, live in zip(segments, kept, strict=True):
        if segment.file is not None:
            path = store.path / VECTORS / segment.file
            blocks = read_segment(path, rows=segment.rows, dimension=store.dimension, at_once=ROWS)
            for start, vectors in zip(range(0, segment.rows, ROWS), blocks, strict=True):
                yield vectors[live[start : start + ROWS]]


def _lengths(segments: Sequence[Segment], kept: Sequence[NDArray[np.bool_]]) -> NDArray[np.int64] | None:
    lengths = [s.lengths[live] for s, live in zip(segments, kept, strict=True) if s.lengths is not None]
    return np.concatenate(lengths) if len(lengths) == len(segments) else None


def _offsets(kept: Sequence[NDArray[np.bool_]]) -> Iterator[NDArray[np.int64]]:
    """For each segment the new offset of each row, -1 for deleted ones."""
    base = 0
    for live in kept:
        yield np.where(live, np.cumsum(live) - 1 + base, -1)
        base += int(np.count_nonzero(live))
