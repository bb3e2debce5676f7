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
DEAD = 0.2  # share of deleted rows from which a segment is rewritten
ROWS = 1024  # vectors copied at a time


def to_merge(segments: Sequence[Segment]) -> list[Segment]:
    """The segments to make one of: those with many deleted rows, and the smallest ones where there are too many.

    A segment joins while it is at most twice as large as those before it together, so that a vector is rewritten a
    logarithmic number of times however the documents come in.
    """
    wasteful = [segment for segment in segments if segment.rows - segment.live > DEAD * segment.rows]
    rest = sorted((segment for segment in segments if segment not in wasteful), key=lambda segment: segment.live)
    chosen, total = list(wasteful), sum(segment.live for segment in wasteful)
    while rest and len(rest) + 1 > MOST:
        chosen.append(rest.pop(0))
        total += chosen[-1].live
    while len(chosen) > 1 and rest and rest[0].live <= 2 * total:
        chosen.append(rest.pop(0))
        total += chosen[-1].live
    return sorted(chosen, key=lambda segment: segment.id) if len(chosen) > 1 or wasteful else []


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
