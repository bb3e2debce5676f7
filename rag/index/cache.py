"""The embedding cache: vectors by content, in a database of its own beside the truth.

Apart from the truth because it may be deleted at any time: it neither slows a backup down nor harms the index when it
is damaged, and it commits at once, so that a killed run has not lost what it computed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.index.database import explained

logger = logging.getLogger(__name__)

NAME = "embeddings.sqlite"
LEAST_BYTES = 256 << 20  # kept even when the index is small
KEYS = 500  # looked up in one statement


class EmbeddingCache:
    """Vectors in full precision by a key that the caller computes from embedder and text; the oldest go first."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._connection: sqlite3.Connection | None = None

    def get(self, keys: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """The vector of each key, ``None`` where there is none."""
        found: dict[str, NDArray[np.float32]] = {}
        with explained(self.path):
            for start in range(0, len(keys), KEYS):
                some = keys[start : start + KEYS]
                query = f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(some))})"
                for key, vector in self._opened().execute(query, some):
                    found[key] = np.frombuffer(vector, "<f4")
        return [found.get(key) for key in keys]

    def put(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors, durably when this returns."""
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        connection = self._opened()
        with explained(self.path), connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)

    def trim(self, *, keep_bytes: int) -> None:
        """Forget the vectors put in first until the rest takes at most `keep_bytes`, and `LEAST_BYTES` in any case."""
        connection = self._opened()
        with explained(self.path), connection:
            connection.execute("BEGIN")
            count, size = connection.execute(
                "SELECT COUNT(*), COALESCE(MAX(LENGTH(vector)), 0) FROM vectors"
            ).fetchone()
            surplus = count - max(keep_bytes, LEAST_BYTES) // max(size, 1)
            if surplus > 0:
                oldest = "SELECT id FROM vectors ORDER BY id LIMIT ?"
                connection.execute(f"DELETE FROM vectors WHERE id IN ({oldest})", (surplus,))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = _open(self.path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                logger.warning("%s is damaged and is made anew: %s", self.path, error)
                for ending in ("", "-wal", "-shm"):
                    self.path.with_name(NAME + ending).unlink(missing_ok=True)
                self._connection = _open(self.path)
        return self._connection


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors "
            "(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, vector BLOB NOT NULL)"
        )
    except BaseException:
        connection.close()
        raise
    return connection
