"""The ids a run has come across, kept on disk so that memory does not grow with their number."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from types import TracebackType

from rag.errors import StoreError


class SeenIds:
    """A set of ids in a database that SQLite makes in the system's folder for temporary files, and deletes when closed.

    A context manager; entering raises nothing, adding raises `StoreError` when that disk is full.
    """

    def __enter__(self) -> SeenIds:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")
        self._connection.execute("BEGIN")  # never committed: nobody reads it after a crash
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._connection.close()

    def add(self, id_: str) -> bool:
        """Put an id in; false where it was there already."""
        try:
            return self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (_key(id_),)).rowcount == 1
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"the folder for temporary files: {error}", hint="make room there, or set TMPDIR"
            ) from error

    def __contains__(self, id_: str) -> bool:
        return self._connection.execute("SELECT 1 FROM seen WHERE id = ?", (_key(id_),)).fetchone() is not None


def _key(id_: str) -> bytes:
    return blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=16).digest()
