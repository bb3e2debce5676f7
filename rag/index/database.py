"""``index.sqlite``: its schema, how it is opened, and what its errors mean."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np

from rag.errors import IndexCorruptError, IndexMismatchError, IndexNotFoundError, StoreError
from rag.index.codec import decode
from rag.index.records import Known, Manifest
from rag.index.segments import Segment

SCHEMA: Final = 1
NAME: Final = "index.sqlite"
VECTORS: Final = "vectors"
WRITER_CACHE: Final = 16 << 20  # bytes of pages; full after some ten thousand chunks
READER_CACHE: Final = 32 << 20

# Big columns stand last: SQLite reads a row from the left and stops, so that lists of documents never touch the texts.
# Postings are keyed by segment first: a commit appends at the end of the tree instead of touching every page of it,
# a merge reads in order, a query seeks once for each (segment, term).
TABLES: Final = """
CREATE TABLE manifest (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema INTEGER NOT NULL, generation INTEGER NOT NULL, uuid TEXT NOT NULL, written_by TEXT NOT NULL,
    dense TEXT, analyzer TEXT,
    next_document INTEGER NOT NULL, next_chunk INTEGER NOT NULL,
    next_segment INTEGER NOT NULL, next_file INTEGER NOT NULL
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, source BLOB NOT NULL,
    chunks INTEGER NOT NULL, characters INTEGER NOT NULL,
    stamp BLOB NOT NULL, content_hash TEXT NOT NULL, fingerprint TEXT NOT NULL, access TEXT, meta TEXT
);
CREATE TABLE texts (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, layout TEXT, text BLOB NOT NULL
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, meta TEXT, context BLOB NOT NULL, text BLOB NOT NULL,
    UNIQUE (document, start, "end")
);
CREATE TABLE document_meta (
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE, field BLOB NOT NULL, kind TEXT NOT NULL, value,
    PRIMARY KEY (document, field)
) WITHOUT ROWID;
CREATE INDEX document_meta_values ON document_meta (field, kind, value);
CREATE TABLE chunk_meta (
    chunk INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE, field BLOB NOT NULL, kind TEXT NOT NULL, value,
    PRIMARY KEY (chunk, field)
) WITHOUT ROWID;
CREATE INDEX chunk_meta_values ON chunk_meta (field, kind, value);
CREATE TABLE access (
    principal BLOB NOT NULL, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    PRIMARY KEY (principal, document)
) WITHOUT ROWID;
CREATE INDEX access_documents ON access (document);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, file TEXT, bytes INTEGER, checksum TEXT,
    chunks BLOB NOT NULL, documents BLOB NOT NULL, lengths BLOB
);
CREATE TABLE postings (
    segment INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, term TEXT NOT NULL,
    rows BLOB NOT NULL, counts BLOB NOT NULL, positions BLOB NOT NULL, PRIMARY KEY (segment, term)
) WITHOUT ROWID;
"""


def connect(folder: Path, *, writable: bool) -> sqlite3.Connection:
    """Open the database, in autocommit mode; the caller begins its transactions.

    Raises:
        IndexNotFoundError: there is no database and `writable` is false.
    """
    path = folder / NAME
    if not writable and not path.is_file():
        raise IndexNotFoundError(f"{folder}: there is no index", hint="`rag ingest` makes one")
    with explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{_mode(path, writable)}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            if writable:
                connection.execute("PRAGMA page_size = 8192")
            # After the page size: SQLite counts it in pages, and keeps the count when their size changes.
            connection.execute(f"PRAGMA cache_size = -{(WRITER_CACHE if writable else READER_CACHE) >> 10}")
            if writable:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _mode(path: Path, writable: bool) -> str:
    if writable:
        return "mode=rwc"
    # SQLite shares readers' marks in a file beside the database; where it cannot, nobody writes either.
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(NAME + "-wal").exists()
    return "mode=ro&immutable=1" if alone else "mode=ro"


def create(connection: sqlite3.Connection) -> None:
    """Lay out an empty index of generation 0 unless there is one; all or nothing."""
    from importlib.metadata import version  # takes as long to import as opening an index, which needs it not

    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _has_tables(connection):
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO manifest VALUES (1, ?, 0, ?, ?, NULL, NULL, 1, 1, 1, 1)",
                (SCHEMA, uuid4().hex, f"ragloom {version('ragloom')}"),
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _has_tables(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'manifest'").fetchone()
    return found is not None


def read_manifest(folder: Path, connection: sqlite3.Connection) -> Manifest:
    """The manifest of the snapshot the connection stands on.

    Raises:
        IndexNotFoundError: a writer was here and made nothing yet.
        IndexMismatchError: another version of the format.
    """
    if not _has_tables(connection):
        raise IndexNotFoundError(f"{folder}: there is no index", hint="`rag ingest` makes one")
    (schema,) = connection.execute("SELECT schema FROM manifest").fetchone()
    if schema != SCHEMA:
        raise IndexMismatchError(
            f"{folder}: the index has format {schema}, this version of ragloom reads format {SCHEMA}",
            hint=f"`rag ingest` into a new folder, or the ragloom that wrote it: {_written_by(connection)}",
        )
    row = connection.execute("SELECT generation, uuid, written_by, dense, analyzer FROM manifest").fetchone()
    generation, uuid, written_by, dense, analyzer = row
    return Manifest(
        schema=schema,
        generation=generation,
        uuid=uuid,
        written_by=written_by,
        dense=json.loads(dense) if dense else None,
        analyzer=analyzer,
    )


def read_segments(connection: sqlite3.Connection) -> list[Segment]:
    """All segments in the order of their ids, which is the order of rows."""
    query = "SELECT id, chunks, documents, lengths, file, bytes, checksum FROM segments ORDER BY id"
    return [
        Segment(
            id=id_,
            chunks=np.frombuffer(chunks, "<i8"),
            documents=np.frombuffer(documents, "<i8"),
            lengths=None if lengths is None else np.frombuffer(lengths, "<i8"),
            file=file,
            bytes=size or 0,
            checksum=checksum or "",
        )
        for id_, chunks, documents, lengths, file, size, checksum in connection.execute(query)
    ]


def read_known(connection: sqlite3.Connection) -> dict[str, Known]:
    """Stamp, content hash and fingerprint of every document, by its id."""
    rows = connection.execute("SELECT key, stamp, content_hash, fingerprint FROM documents")
    return {decode(key): Known(decode(stamp), content, print_) for key, stamp, content, print_ in rows}


def _written_by(connection: sqlite3.Connection) -> str:
    (name,) = connection.execute("SELECT written_by FROM manifest").fetchone()
    return str(name)


@contextmanager
def open_snapshot(folder: Path) -> Iterator[tuple[sqlite3.Connection, Manifest]]:
    """The newest generation, for the length of the block."""
    connection = connect(folder, writable=False)
    try:
        with explained(folder / NAME):
            connection.execute("BEGIN")
            yield connection, read_manifest(folder, connection)
    finally:
        connection.close()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file named: damage, a full disk, a lock held too long."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise StoreError(
                f"{path}: {error}", hint="make room on the disk; what was committed before is safe"
            ) from error
        if "malformed" in str(error):
            raise damaged(path, error) from error
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.IntegrityError as error:
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> IndexCorruptError:
    return IndexCorruptError(
        f"{path}: the database is damaged: {error}",
        hint="restore a backup, or delete the folder and ingest again",
    )
