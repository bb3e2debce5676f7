"""The replies of language models by what was asked, in a database beside the index.

Every reply is kept the moment it is there, so that a killed run has paid for nothing twice. The file may be deleted at
any time: then the next run that needs a reply asks for it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from rag.index.codec import decode, encode
from rag.index.database import explained

NAME = "enrichments.sqlite"
KEYS = 500  # looked up in one statement


class ReplyCache:
    """Replies by key, in `folder`. Nothing is written before the first `put`. May be used from many threads.

    Methods raise:
        StoreError: the disk is full, or the file is locked.
        IndexCorruptError: the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._connection: sqlite3.Connection | None = None
        self._lock = Lock()

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """The replies there are, by key."""
        if self._connection is None and not self.path.is_file():
            return {}
        found: dict[str, str] = {}
        with self._lock, explained(self.path):
            for start in range(0, len(keys), KEYS):
                some = keys[start : start + KEYS]
                query = f"SELECT key, reply FROM replies WHERE key IN ({','.join('?' * len(some))})"
                found |= {key: decode(reply) for key, reply in self._opened().execute(query, some)}
        return found

    def put(self, key: str, reply: str) -> None:
        """Keep one reply; it survives the death of the process when this returns."""
        with self._lock, explained(self.path):
            self._opened().execute("INSERT OR REPLACE INTO replies (key, reply) VALUES (?, ?)", (key, encode(reply)))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply BLOB NOT NULL)")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection
