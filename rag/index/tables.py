"""Rows of ``index.sqlite``, written. All of it runs inside the writer's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from rag.index.codec import decode, encode, encode_layout, encode_meta, encode_scalar
from rag.index.inverted import TermPostings
from rag.index.records import Known, Manifest
from rag.index.segments import Segment
from rag.types import Chunk, Document

IDS = 500  # in one statement


def take_numbers(connection: sqlite3.Connection, kind: Literal["document", "chunk", "segment", "file"], n: int) -> int:
    """The first of `n` numbers never given out before."""
    (first,) = connection.execute(f"SELECT next_{kind} FROM manifest").fetchone()
    connection.execute(f"UPDATE manifest SET next_{kind} = next_{kind} + ?", (n,))
    return int(first)


def put_manifest(connection: sqlite3.Connection, manifest: Manifest) -> None:
    dense = None if manifest.dense is None else json.dumps(dict(manifest.dense))
    connection.execute(
        "UPDATE manifest SET generation = ?, dense = ?, analyzer = ?", (manifest.generation, dense, manifest.analyzer)
    )


def insert_document(
    connection: sqlite3.Connection, id_: int, document: Document, *, chunks: int, stamp: str, fingerprint: str
) -> None:
    """A document with its text, metadata and access list."""
    connection.execute(
        "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id_,
            encode(document.id),
            encode(document.source),
            chunks,
            len(document.text),
            encode(stamp),
            document.content_hash,
            fingerprint,
            None if document.access is None else json.dumps(list(document.access)),
            encode_meta(document.meta),
        ),
    )
    connection.execute(
        "INSERT INTO texts VALUES (?, ?, ?)", (id_, encode_layout(document.layout), encode(document.text))
    )
    connection.executemany(
        "INSERT INTO document_meta VALUES (?, ?, ?, ?)",
        [(id_, encode(field), *encode_scalar(value)) for field, value in document.meta.items()],
    )
    connection.executemany(
        "INSERT INTO access VALUES (?, ?)",
        [(encode(principal), id_) for principal in dict.fromkeys(document.access or ())],
    )


def insert_chunks(connection: sqlite3.Connection, document: int, first: int, chunks: Sequence[Chunk]) -> None:
    """A document's chunks under the ids from `first` on."""
    connection.executemany(
        "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (id_, document, c.span.start, c.span.end, encode_meta(c.meta), encode(c.context), encode(c.text))
            for id_, c in enumerate(chunks, first)
        ],
    )
    connection.executemany(
        "INSERT INTO chunk_meta VALUES (?, ?, ?, ?)",
        [
            (id_, encode(field), *encode_scalar(value))
            for id_, chunk in enumerate(chunks, first)
            for field, value in chunk.meta.items()
        ],
    )


def document_numbers(connection: sqlite3.Connection, document_ids: Sequence[str]) -> list[int]:
    """The rows of documents by their ids."""
    keys, found = [encode(id_) for id_ in document_ids], list[int]()
    for start in range(0, len(keys), IDS):
        some = keys[start : start + IDS]
        query = f"SELECT id FROM documents WHERE key IN ({','.join('?' * len(some))})"
        found += [id_ for (id_,) in connection.execute(query, some)]
    return found


def document_known(connection: sqlite3.Connection, document_id: str) -> Known | None:
    """What tells whether a document changed; ``None``: there is none of that id."""
    query = "SELECT stamp, content_hash, fingerprint FROM documents WHERE key = ?"
    row = connection.execute(query, (encode(document_id),)).fetchone()
    return None if row is None else Known(decode(row[0]), row[1], row[2])


def document_ids(connection: sqlite3.Connection) -> Iterator[str]:
    """The ids of all documents, in order; between two of them anything may be written."""
    query, first = "SELECT key FROM documents WHERE key >= ? ORDER BY key LIMIT ?", b""
    while keys := [key for (key,) in connection.execute(query, (first, IDS))]:
        yield from map(decode, keys)
        first = keys[-1] + b"\0"  # the next possible key


def delete_documents(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Documents, and with them their texts, chunks, metadata and access lists."""
    connection.executemany("DELETE FROM documents WHERE id = ?", [(number,) for number in numbers])


def insert_segment(connection: sqlite3.Connection, segment: Segment) -> None:
    connection.execute(
        "INSERT INTO segments (id, rows, file, bytes, checksum, chunks, documents, lengths) VALUES (?,?,?,?,?,?,?,?)",
        (
            segment.id,
            segment.rows,
            segment.file,
            segment.bytes,
            segment.checksum,
            segment.chunks.astype("<i8").tobytes(),
            segment.documents.astype("<i8").tobytes(),
            None if segment.lengths is None else segment.lengths.astype("<i8").tobytes(),
        ),
    )


def update_segment(connection: sqlite3.Connection, segment: Segment) -> None:
    """What may change of a segment: which rows are deleted, its terms, its file when all vectors are made anew."""
    connection.execute(
        "UPDATE segments SET documents = ?, lengths = ?, file = ?, bytes = ?, checksum = ? WHERE id = ?",
        (
            segment.documents.astype("<i8").tobytes(),
            None if segment.lengths is None else segment.lengths.astype("<i8").tobytes(),
            segment.file,
            segment.bytes,
            segment.checksum,
            segment.id,
        ),
    )


def delete_segments(connection: sqlite3.Connection, segments: Iterable[Segment]) -> None:
    """Segments, and with them their postings."""
    connection.executemany("DELETE FROM segments WHERE id = ?", [(segment.id,) for segment in segments])


def insert_postings(connection: sqlite3.Connection, segment: int, postings: Iterable[TermPostings]) -> None:
    """Postings in the order of terms, which appends to the tree."""
    rows = ((segment, one.term, one.rows, one.counts, one.positions) for one in postings)
    connection.executemany("INSERT INTO postings VALUES (?, ?, ?, ?, ?)", rows)


def delete_postings(connection: sqlite3.Connection, segment: int) -> None:
    connection.execute("DELETE FROM postings WHERE segment = ?", (segment,))


def texts_of(connection: sqlite3.Connection, chunks: Sequence[int]) -> dict[int, tuple[bytes, bytes, str | None]]:
    """(context, text, metadata) of chunks by id, as stored."""
    found: dict[int, tuple[bytes, bytes, str | None]] = {}
    for start in range(0, len(chunks), IDS):
        some = ",".join(map(str, chunks[start : start + IDS]))
        query = f"SELECT id, context, text, meta FROM chunks WHERE id IN ({some})"
        for id_, context, text, meta in connection.execute(query):
            found[id_] = (context, text, meta)
    return found


def without(segment: Segment, documents: Sequence[int]) -> Segment:
    """The segment with the rows of those documents deleted; the same object where it has none of them."""
    gone = np.isin(segment.documents, documents)
    return replace(segment, documents=np.where(gone, 0, segment.documents)) if gone.any() else segment
