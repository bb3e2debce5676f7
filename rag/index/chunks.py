"""The chunks of one generation: read by row, and found again by their spans."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexCorruptError
from rag.index.base import Mask, Rows
from rag.index.codec import decode, decode_access, decode_meta, encode
from rag.index.database import explained
from rag.types import Chunk, Span

KEPT = 20_000  # kept in memory, some 20 MB of text
ROWS = 500  # fetched in one statement

COLUMNS = (
    'd.key, c.start, c."end", c.text, c.context, c.meta, d.access FROM chunks c JOIN documents d ON d.id = c.document'
)
"""What `chunk_of` takes."""


class StoredChunks:
    """Reads chunks, and keeps those it read last.

    Args:
        chunk_ids: (rows,) the id of each row's chunk.
        live: (rows,) false where the chunk was deleted.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: RLock, *, chunk_ids: NDArray[np.int64], live: Mask
    ) -> None:
        self.path = path
        self.chunk_ids = chunk_ids
        self.live = live
        self._connection = connection
        self._lock = lock
        self._kept: dict[int, Chunk] = {}  # in the order in which they were read
        self._rows: dict[Span, int] = {}  # of those kept

    def warm_up(self) -> None:
        """Read all chunks now, if so many are kept."""
        rows = np.flatnonzero(self.live)
        if len(rows) <= KEPT:
            with self._lock:
                self._keep(self._fetch(rows.tolist()))

    def at(self, rows: Sequence[int]) -> list[Chunk]:
        """The chunks of any live rows, in their order.

        Raises:
            LookupError: a row was deleted, or there is no such row.
        """
        kept = self._kept
        try:
            return [kept[row] for row in rows]
        except KeyError:
            with self._lock:
                found = {row: kept[row] for row in rows if row in kept}
                new = self._fetch([row for row in dict.fromkeys(rows) if row not in found])
                self._keep(new)
                found |= new
            return [found[row] for row in rows]

    def rows_of(self, chunks: Sequence[Chunk]) -> Rows:
        """The row of each chunk; -1 where this generation has none at its span."""
        known = self._rows
        rows = [known.get(chunk.span, -1) for chunk in chunks]
        if -1 in rows:
            with self._lock:
                rows = [self._row(chunk.span) if row < 0 else row for row, chunk in zip(rows, chunks, strict=True)]
        return np.array(rows, np.int64)

    def _keep(self, found: dict[int, Chunk]) -> None:
        self._kept |= found
        self._rows.update((chunk.span, row) for row, chunk in found.items())
        for row in list(islice(self._kept, max(0, len(self._kept) - KEPT))):
            self._rows.pop(self._kept.pop(row).span, None)

    def _fetch(self, rows: Sequence[int]) -> dict[int, Chunk]:
        if any(not 0 <= row < len(self.live) or not self.live[row] for row in rows):
            raise LookupError(f"not all of these rows hold chunks: {list(rows)!r}")
        row_of = dict(zip(self.chunk_ids[rows].tolist(), rows, strict=True))
        with explained(self.path):
            found = {row_of[columns[0]]: chunk_of(*columns[1:]) for columns in self._select(list(row_of))}
        if len(found) < len(rows):
            raise IndexCorruptError(
                f"{self.path}: {len(rows) - len(found)} chunks of live rows are missing",
                hint="delete the folder and ingest again",
            )
        return found

    def _select(
        self, ids: Sequence[int]
    ) -> Iterator[tuple[int, bytes, int, int, bytes, bytes, str | None, str | None]]:
        for start in range(0, len(ids), ROWS):
            some = ids[start : start + ROWS]
            # Placeholders rather than numbers: SQLite knows the statement when as many are asked for again.
            yield from self._connection.execute(
                f"SELECT c.id, {COLUMNS} WHERE c.id IN ({','.join('?' * len(some))})", some
            )

    def _row(self, span: Span) -> int:
        query = (
            "SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document "
            'WHERE d.key = ? AND start = ? AND "end" = ?'
        )
        with explained(self.path):
            found = self._connection.execute(query, (encode(span.document_id), span.start, span.end)).fetchone()
        if found is None:
            return -1
        order = self._by_id
        return int(order[np.searchsorted(self.chunk_ids, found[0], sorter=order)])

    @cached_property
    def _by_id(self) -> Rows:
        return np.argsort(self.chunk_ids)


def chunk_of(
    key: bytes, start: int, end: int, text: bytes, context: bytes, meta: str | None, access: str | None
) -> Chunk:
    """A chunk from its columns."""
    return Chunk(
        span=Span(decode(key), start, end),
        text=decode(text),
        context=decode(context),
        meta=decode_meta(meta),
        access=decode_access(access),
    )
