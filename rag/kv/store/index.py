"""What the disk tier holds, in SQLite: one row a cache, found by its chunk; shared by processes."""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.errors import StoreError
from rag.kv.store.eviction import priority
from rag.kv.variant import Profile, Variant

VERSION = 1
_SCHEMA = """
CREATE TABLE caches(
    chunk BLOB NOT NULL, context BLOB NOT NULL, tokens INTEGER NOT NULL, work REAL NOT NULL, size INTEGER NOT NULL,
    checksum INTEGER NOT NULL, hits INTEGER NOT NULL, priority REAL NOT NULL, model INTEGER NOT NULL, profile BLOB,
    PRIMARY KEY (chunk, context)
) WITHOUT ROWID;
CREATE INDEX by_priority ON caches(priority);
CREATE TABLE models(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE state(clock REAL NOT NULL, size INTEGER NOT NULL);
INSERT INTO state VALUES (0, 0);
"""
_KEY = 16  # bytes of a chunk's key
_WAIT_SECONDS = 10.0  # for another process's transaction, which takes milliseconds


@dataclass(frozen=True, slots=True)
class Row:
    """A cache on disk: bytes and CRC-32 of its file, how often it was used."""

    variant: Variant
    size: int
    checksum: int
    hits: int = 1


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one model's caches."""

    caches: int
    tokens: int
    size: int
    hits: int


class CacheIndex:
    """Opened at the first use. Uses are counted in this process and written with the next transaction.

    Raises:
        StoreError: the file is damaged, of another version, or cannot be read or written; caches are computed again
            without it.
    """

    def __init__(self, path: Path, *, model: str, variants: int) -> None:
        self.path = path
        self.model = model
        self.most_variants = variants
        self._lock = threading.Lock()
        # Two connections: a reader never waits for this process's writer, nor for another's.
        self._reader = _Connection(path)
        self._writer = _Connection(path)
        self._uses: dict[tuple[bytes, bytes], int] = {}

    def variants(self, chunk: bytes) -> list[Variant]:
        with self._reading() as database:
            found = database.execute("SELECT context, tokens, work, profile FROM caches WHERE chunk = ?", (chunk,))
            return [Variant(chunk, bytes(row[0]), row[1], row[2], _unpacked(row[3])) for row in found]

    def find(self, variant: Variant) -> Row | None:
        with self._reading() as database:
            where = (variant.chunk, variant.context)
            row = database.execute(
                "SELECT size, checksum, hits FROM caches WHERE chunk = ? AND context = ?", where
            ).fetchone()
            return Row(variant, *row) if row else None

    def use(self, variant: Variant) -> None:
        """Count a use."""
        with self._lock:
            key = (variant.chunk, variant.context)
            self._uses[key] = self._uses.get(key, 0) + 1

    def add(self, row: Row, *, budget: int) -> list[Variant]:
        """Enter a cache whose file is in place; what had to go for it, whose files are to be deleted now."""
        variant = row.variant
        with self._writing() as database:
            self._write_uses(database)
            self._delete(database, variant)
            gone = self._evict(database, budget - row.size)
            siblings = database.execute(
                "SELECT context FROM caches WHERE chunk = ? ORDER BY priority", (variant.chunk,)
            ).fetchall()
            for (context,) in siblings[: max(0, len(siblings) + 1 - self.most_variants)]:
                gone.append(Variant(variant.chunk, bytes(context), 0, 0.0))
                self._delete(database, gone[-1])
            database.execute("INSERT OR IGNORE INTO models(name) VALUES (?)", (self.model,))
            (model,) = database.execute("SELECT id FROM models WHERE name = ?", (self.model,)).fetchone()
            (clock,) = database.execute("SELECT clock FROM state").fetchone()
            worth = priority(clock=clock, hits=row.hits, work=variant.work, size=row.size)
            database.execute(
                "INSERT INTO caches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    variant.chunk, variant.context, variant.tokens, variant.work, row.size, row.checksum, row.hits,
                    worth, model, _packed(variant.profile),
                ),
            )  # fmt: skip
            database.execute("UPDATE state SET size = size + ?", (row.size,))
        return gone

    def remove(self, variant: Variant) -> None:
        with self._writing() as database:
            self._delete(database, variant)

    def shrink(self, budget: int) -> list[Variant]:
        """Let go the least worthy until at most `budget` bytes are left; what went, files not deleted yet."""
        with self._writing() as database:
            self._write_uses(database)
            return self._evict(database, budget)

    def rows(self) -> list[Row]:
        with self._reading() as database:
            found = database.execute("SELECT chunk, context, tokens, work, size, checksum, hits FROM caches").fetchall()
        return [Row(Variant(bytes(c), bytes(x), tokens, work), *rest) for c, x, tokens, work, *rest in found]

    def totals(self) -> Mapping[str, Totals]:
        """By model."""
        with self._reading() as database:
            found = database.execute(
                "SELECT name, count(*), sum(tokens), sum(size), sum(hits) FROM caches JOIN models ON id = model "
                "GROUP BY name ORDER BY name"
            ).fetchall()
        return {name: Totals(*rest) for name, *rest in found}

    def flush(self) -> None:
        """Write the counted uses."""
        if self._uses:
            with self._writing() as database:
                self._write_uses(database)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._reader.close()
            self._writer.close()

    def _write_uses(self, database: sqlite3.Connection) -> None:
        with self._lock:
            uses, self._uses = self._uses, {}
        database.executemany(
            "UPDATE caches SET hits = hits + ?1, priority = (SELECT clock FROM state) + (hits + ?1) * work / size "
            "WHERE chunk = ?2 AND context = ?3",
            [(count, *key) for key, count in uses.items()],
        )

    def _evict(self, database: sqlite3.Connection, budget: int) -> list[Variant]:
        gone = []
        (size,) = database.execute("SELECT size FROM state").fetchone()
        while size > max(budget, 0):
            lowest = database.execute(
                "SELECT chunk, context, priority, size FROM caches ORDER BY priority LIMIT 1"
            ).fetchone()
            if lowest is None:
                break
            gone.append(Variant(bytes(lowest[0]), bytes(lowest[1]), 0, 0.0))
            self._delete(database, gone[-1])
            database.execute("UPDATE state SET clock = ?", (lowest[2],))
            size -= lowest[3]
        return gone

    def _delete(self, database: sqlite3.Connection, variant: Variant) -> None:
        where = (variant.chunk, variant.context)
        row = database.execute("SELECT size FROM caches WHERE chunk = ? AND context = ?", where).fetchone()
        if row:
            database.execute("DELETE FROM caches WHERE chunk = ? AND context = ?", where)
            database.execute("UPDATE state SET size = size - ?", row)

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._reader.used()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._writer.used() as database, _transaction(database):
            yield database


class _Connection:
    """To the index's file, opened at the first use; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    @contextmanager
    def used(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._opened is None:
                    self._opened = self._open()
                yield self._opened
            except (sqlite3.DatabaseError, OSError) as error:
                problem = f"{self.path}: the index of the chunk caches cannot be used: {error}"
                usable = isinstance(error, (sqlite3.OperationalError, OSError))  # no room, no right, no such folder
                hint = "llm.reuse.path: a folder that can be written, on a disk with room" if usable else self._hint()
                raise StoreError(problem, hint=hint) from error

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a row lost with the power is a cache computed again
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with _transaction(database):
                # Another process may have been first.
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in (*_SCHEMA.split(";"), f"PRAGMA user_version = {VERSION}"):
                        database.execute(statement)
                    version = VERSION
        if version != VERSION:
            database.close()
            problem = f"{self.path}: chunk caches of version {version}, this is version {VERSION}"
            raise StoreError(problem, hint=self._hint())
        return database

    def _hint(self) -> str:
        return f"delete the folder {self.path.parent}; caches are computed again when they are needed"


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk may have ended it
            database.execute("ROLLBACK")
        raise


def _packed(profile: Profile | None) -> bytes | None:
    """The two means, then the attention to each chunk in front, then the chunks' keys."""
    if profile is None:
        return None
    numbers = (profile.outside, profile.inside, *profile.inter)
    return struct.pack(f"<{len(numbers)}d", *numbers) + b"".join(profile.before)


def _unpacked(content: bytes | None) -> Profile | None:
    if content is None:
        return None
    chunks = (len(content) - 16) // (8 + _KEY)
    outside, inside, *inter = struct.unpack(f"<{2 + chunks}d", content[: 16 + 8 * chunks])
    keys = content[16 + 8 * chunks :]
    return Profile(tuple(keys[at : at + _KEY] for at in range(0, len(keys), _KEY)), tuple(inter), outside, inside)
