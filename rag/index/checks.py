"""What can be wrong with an index, looked for: the questions behind `rag doctor`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.index import database
from rag.index.codec import decode
from rag.index.records import Problem
from rag.index.segments import checksum

if TYPE_CHECKING:
    from rag.index.reader import Reader

EMBED = "`rag rebuild --embed-only`"
INGEST = "`rag rebuild`"
RESTORE = "restore a backup, or delete the folder and ingest again"
EXAMPLES = 20  # of one kind, so that one broken parser does not print a million lines
BLOCK = 8192  # vectors looked at together


def problems_of(reader: Reader, *, deep: bool) -> Iterator[Problem]:
    """All problems of a reader's generation. `deep` reads every byte."""
    yield from _database(reader, deep=deep)
    yield from _files(reader, deep=deep)
    yield from _rows(reader)
    yield from _chunks(reader)
    if deep:
        from rag.index.duplicates import near_duplicates  # what hashing takes to import, opening an index needs not

        yield from _spans(reader)
        yield from _vectors(reader)
        yield from _counts(reader)
        yield from near_duplicates(reader)


def _database(reader: Reader, *, deep: bool) -> Iterator[Problem]:
    path = str(reader.path / database.NAME)
    try:
        for (line,) in reader.connection.execute(f"PRAGMA {'integrity_check' if deep else 'quick_check'}(20)"):
            if line != "ok":
                yield Problem("damaged-database", path, line, RESTORE)
    except sqlite3.DatabaseError as error:
        yield Problem("damaged-database", path, str(error), RESTORE)


def _files(reader: Reader, *, deep: bool) -> Iterator[Problem]:
    folder = reader.path / database.VECTORS
    named = {segment.file for segment in reader.segments if segment.file is not None}
    for segment in reader.segments:
        if segment.file is None:
            continue
        path = folder / segment.file
        if not path.is_file():
            yield Problem("truncated-segment", str(path), "the file is missing", EMBED)
        elif path.stat().st_size != segment.bytes:
            sizes = f"expected {segment.bytes} bytes, found {path.stat().st_size}"
            yield Problem("truncated-segment", str(path), sizes, EMBED)
        elif deep and (found := checksum(path)) != segment.checksum:
            yield Problem("damaged-segment", str(path), f"expected BLAKE2b {segment.checksum}, found {found}", EMBED)
    for path in sorted(folder.glob("*")):
        if path.name not in named:
            yield Problem("orphan-file", str(path), "no segment names it", "the next `rag ingest` deletes it")


def _counts(reader: Reader) -> Iterator[Problem]:
    from rag.index.ngrams.stored import damaged_counts

    for file in damaged_counts(reader.path)[1]:
        yield Problem("damaged-counts", str(file.path), "the checksum differs", "`rag counts --verify`")


def _rows(reader: Reader) -> Iterator[Problem]:
    """Rows and chunks are the same set; every segment has terms or none has."""
    path = str(reader.path / database.NAME)
    stored = np.fromiter((id_ for (id_,) in reader.connection.execute("SELECT id FROM chunks")), np.int64)
    live = reader.chunk_ids[reader.live]
    orphans, lost = np.setdiff1d(live, stored), np.setdiff1d(stored, live)
    if orphans.size:
        yield Problem("orphan-vectors", path, f"rows that belong to no chunk: {len(orphans)}", INGEST)
    documents = "SELECT COUNT(*) FROM chunks WHERE document NOT IN (SELECT id FROM documents)"
    if ownerless := reader.connection.execute(documents).fetchone()[0]:
        yield Problem("damaged-database", path, f"chunks of no document: {ownerless}", RESTORE)
    if lost.size:
        yield Problem("orphan-vectors", path, f"chunks without a row: {len(lost)}", INGEST)
    if reader.manifest.analyzer is not None and any(segment.lengths is None for segment in reader.segments):
        yield Problem("missing-terms", path, "some chunks have no terms", "`rag rebuild --derived-only`")


def _chunks(reader: Reader) -> Iterator[Problem]:
    where = 'SELECT d.key, c.start, c."end" FROM chunks c JOIN documents d ON d.id = c.document'
    empty = f"{where} WHERE TRIM(CAST(c.text AS TEXT), char(9, 10, 11, 12, 13, 32)) = '' LIMIT {EXAMPLES}"
    for key, start, end in reader.connection.execute(empty):
        yield Problem("empty-chunk", decode(key), f"nothing but white space at [{start}, {end})", INGEST)
    same = (
        "SELECT COUNT(*), MIN(c.id), MAX(c.id), CAST(SUBSTR(c.text, 1, 60) AS BLOB) FROM chunks c "
        f"GROUP BY c.context, c.text HAVING COUNT(*) > 1 ORDER BY COUNT(*) DESC LIMIT {EXAMPLES}"
    )
    owner = "SELECT d.key FROM chunks c JOIN documents d ON d.id = c.document WHERE c.id = ?"
    for count, first, last, text in reader.connection.execute(same).fetchall():
        owners = [reader.connection.execute(owner, (id_,)).fetchone() for id_ in (first, last)]
        names = [decode(row[0]) for row in owners if row is not None]
        where = " and ".join(dict.fromkeys(names))
        start = text.decode("utf-8", "ignore")
        yield Problem("duplicate-chunk", where, f"{count} chunks have the same text, from {start!r} on")


def _spans(reader: Reader) -> Iterator[Problem]:
    """``document.text[start:end] == text``, read from what is stored."""
    query = (
        'SELECT d.key, t.text, c.start, c."end", c.text FROM chunks c JOIN documents d ON d.id = c.document '
        "JOIN texts t ON t.document = d.id ORDER BY c.document"
    )
    current, text, found = b"", "", 0
    for key, whole, start, end, chunk in reader.connection.execute(query):
        if key != current:
            current, text = key, decode(whole)
        if text[start:end] != decode(chunk) and found < EXAMPLES:
            found += 1
            yield Problem("wrong-span", decode(key), f"the chunk at [{start}, {end}) is not the text there", INGEST)


def _vectors(reader: Reader) -> Iterator[Problem]:
    if reader.segmented is None:
        return
    path: Path = reader.path / database.VECTORS
    for base, part in reader.segmented.blocks():
        alive = reader.live[base : base + len(part)]
        for start in range(0, len(part), BLOCK):
            norms = np.linalg.norm(part[start : start + BLOCK][alive[start : start + BLOCK]], axis=1)
            wrong = np.count_nonzero(~(np.abs(norms - 1) < 1e-3))  # written so that NaN counts as wrong
            if wrong:
                yield Problem("unusable-vector", str(path), f"vectors that are not of unit length: {wrong}", EMBED)
