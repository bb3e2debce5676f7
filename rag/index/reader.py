"""A reader: one generation of the index, whole and unchanging, however far a writer goes on meanwhile.

It stands on one SQLite read transaction and on memory-mapped segments, both fixed when it is opened.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from rag.embed.base import Vectors
from rag.errors import IndexCorruptError, IndexMismatchError
from rag.index import database
from rag.index.base import DenseIndex, Mask, Rows, SparseIndex, Warmable
from rag.index.checks import problems_of
from rag.index.chunks import COLUMNS, StoredChunks, chunk_of
from rag.index.codec import decode, decode_access, decode_layout, decode_meta, encode
from rag.index.database import explained
from rag.index.masks import Masks
from rag.index.postings import Postings
from rag.index.records import DocumentSummary, Known, Manifest, Problem, Stats
from rag.index.segments import Segment, SegmentedVectors, map_segment
from rag.types import Chunk, Condition, Document

if TYPE_CHECKING:
    from rag.index.directory import IndexDirectory
    from rag.index.ngrams.index import NgramIndex
    from rag.index.specs import IndexSpec

DOCUMENTS = 8
SEPARATOR = "::"
"""Between the name of an attached index and the id of a document there."""
OPENINGS = 5  # a writer may replace segments between reading their names and mapping them


class Reader:
    """Everything of one generation. Made by `Reader.open`; may be shared between threads."""

    def __init__(
        self,
        path: Path,
        spec: IndexSpec,
        connection: sqlite3.Connection,
        manifest: Manifest,
        segments: Sequence[Segment],
        parts: Sequence[Vectors] | None,
    ) -> None:
        self.path = path
        self.spec = spec
        self.manifest = manifest
        self.segments = segments
        self.parts = parts
        self.connection = connection
        self.lock = RLock()
        self._counting = RLock()  # apart from `lock`: others go on searching while phrases are counted
        none = [np.empty(0, np.int64)]
        self.chunk_ids = np.concatenate([segment.chunks for segment in segments] or none)
        self.document_ids = np.concatenate([segment.documents for segment in segments] or none)
        self.live: Mask = self.document_ids != 0
        self.attached: Mapping[str, IndexDirectory] = {}
        self._chunks = StoredChunks(
            path / database.NAME, connection, self.lock, chunk_ids=self.chunk_ids, live=self.live
        )
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._close = weakref.finalize(self, connection.close)

    @staticmethod
    def open(path: Path, spec: IndexSpec) -> Reader:
        """Open the newest generation.

        Raises:
            IndexNotFoundError, IndexMismatchError, IndexCorruptError
        """
        for attempt in range(OPENINGS):
            connection = database.connect(path, writable=False)
            try:
                with explained(path / database.NAME):
                    connection.execute("BEGIN")
                    manifest = database.read_manifest(path, connection)
                    segments = database.read_segments(connection)
                return Reader(path, spec, connection, manifest, segments, _mapped(path, spec, manifest, segments))
            except FileNotFoundError as error:
                connection.close()
                if attempt + 1 == OPENINGS:
                    raise IndexCorruptError(
                        f"{error.filename}: the vector segment is missing",
                        hint="`rag rebuild --embed-only` computes the vectors anew from the stored texts",
                    ) from error
            except BaseException:
                connection.close()
                raise
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Give up the snapshot. A reader that is only let go of does so too."""
        self._close()

    @property
    def generation(self) -> int:
        return self.manifest.generation

    @cached_property
    def numbering(self) -> str:
        """Equal for readers in which a row is the same chunk: those of one generation of one index."""
        return f"{self.manifest.uuid} {self.generation}"

    @property
    def rows(self) -> int:
        """Row slots, those of deleted chunks included: the length of every mask."""
        return len(self.chunk_ids)

    @cached_property
    def size(self) -> int:
        """Live chunks."""
        return int(np.count_nonzero(self.live))

    @cached_property
    def dense(self) -> DenseIndex | None:
        """Search by vectors; ``None`` where the spec or the index has none."""
        if self.spec.dense is None or self.segmented is None:
            return None
        with self.lock:
            return self.spec.dense.build(self.segmented)

    @cached_property
    def sparse(self) -> SparseIndex | None:
        """Search by terms; ``None`` where the spec has none.

        Raises:
            IndexMismatchError: the index's terms were made by another analyzer.
        """
        if self.spec.sparse is None:
            return None
        wanted = self.spec.sparse.analyzer().name
        if self.rows and self.manifest.analyzer != wanted:
            raise different_terms(self.path, self.manifest, wanted)
        postings = Postings(self.path / database.NAME, self.connection, self.lock, self.segments, self.live)
        return self.spec.sparse.build(postings)

    @cached_property
    def ngrams(self) -> NgramIndex | None:
        """Counts of phrases, made now where they are behind; ``None`` where the spec asks for none."""
        if self.spec.ngrams is None:
            return None
        from rag.index.ngrams.stored import open_ngrams

        with self._counting, explained(self.path / database.NAME):
            return open_ngrams(self.path, self.spec.ngrams, self.connection, self.manifest, lock=self.lock)

    @cached_property
    def segmented(self) -> SegmentedVectors | None:
        """The vectors of all rows; ``None`` where the index has none or the spec asks for none."""
        if self.manifest.dense is None or self.parts is None:
            return None
        return SegmentedVectors(
            folder=self.path / "dense",
            key=f"{self.manifest.uuid} {json.dumps(dict(self.manifest.dense), sort_keys=True)}",
            dimension=int(self.manifest.dense["dimension"] or 0),
            parts=self.parts,
            chunks=self.chunk_ids,
            live=self.live,
        )

    @cached_property
    def _masks(self) -> Masks:
        return Masks(
            self.path / database.NAME,
            self.connection,
            self.lock,
            chunks=self.chunk_ids,
            documents=self.document_ids,
        )

    def allowed(self, condition: Condition | None, principals: frozenset[str] | None) -> Mask | None:
        """The rows that satisfy the condition and whose access list names a principal; ``None``: every live row."""
        return self._masks.allowed(condition, principals)

    def chunks(self, rows: Sequence[int]) -> list[Chunk]:
        """The chunks of any live rows, in their order.

        Raises:
            LookupError: a row was deleted, or there is no such row.
        """
        return self._chunks.at(rows)

    def rows_of(self, chunks: Sequence[Chunk]) -> Rows:
        """The row of each chunk; -1 where this generation has none at its span."""
        return self._chunks.rows_of(chunks)

    def warm_up(self) -> None:
        """Make now what pays for a process that answers many questions."""
        self._chunks.warm_up()
        for index in (self.dense, self.sparse):
            if isinstance(index, Warmable):
                index.warm_up()

    def vectors(self, rows: Rows) -> Vectors:
        """(n, d) copies of the vectors of rows.

        Raises:
            LookupError: the index has no vectors.
        """
        if self.segmented is None:
            raise LookupError(f"{self.path}: the index has no vectors")
        return self.segmented.take(rows)

    def document(self, document_id: str) -> Document:
        """A document with its text and layout; of an attached index by ``name::id``.

        Raises:
            LookupError: no such document.
        """
        name, separator, rest = document_id.partition(SEPARATOR)
        if separator and name in self.attached:
            return replace(self.attached[name].reader().document(rest), id=document_id)
        with self.lock:
            if document_id not in self._documents:
                self._documents[document_id] = self._read_document(document_id)
                if len(self._documents) > DOCUMENTS:
                    self._documents.popitem(last=False)
            self._documents.move_to_end(document_id)
            return self._documents[document_id]

    def begins(self, prefix: str) -> bool:
        """Whether the id of any document of this index begins so."""
        query = "SELECT EXISTS (SELECT 1 FROM documents WHERE substr(key, 1, ?) = ?)"
        start = encode(prefix)
        with self.lock, explained(self.path / database.NAME):
            return bool(self.connection.execute(query, (len(start), start)).fetchone()[0])

    def _read_document(self, document_id: str) -> Document:
        query = (
            "SELECT source, meta, access, layout, text "
            "FROM documents JOIN texts ON document = documents.id WHERE key = ?"
        )
        with explained(self.path / database.NAME):
            row = self.connection.execute(query, (encode(document_id),)).fetchone()
        if row is None:
            raise LookupError(f"{self.path}: there is no document {document_id!r}")
        source, meta, access, layout, text = row
        return Document(
            id=document_id,
            text=decode(text),
            source=decode(source),
            meta=decode_meta(meta),
            access=decode_access(access),
            layout=decode_layout(layout),
        )

    def documents(self) -> Iterator[DocumentSummary]:
        """All documents by id, without their texts."""
        query = "SELECT key, source, chunks, characters, content_hash, access FROM documents ORDER BY key"
        with self.lock, explained(self.path / database.NAME):
            rows = self.connection.execute(query).fetchall()
        for key, source, chunks, characters, content_hash, access in rows:
            yield DocumentSummary(
                id=decode(key),
                source=decode(source),
                chunks=chunks,
                characters=characters,
                content_hash=content_hash,
                access=decode_access(access),
            )

    def fields(self) -> set[str]:
        """The names of all metadata, of documents and of chunks."""
        query = "SELECT field FROM document_meta UNION SELECT field FROM chunk_meta"
        with self.lock, explained(self.path / database.NAME):
            return {decode(field) for (field,) in self.connection.execute(query)}

    def known(self) -> dict[str, Known]:
        """What is known of every document, by id."""
        with self.lock, explained(self.path / database.NAME):
            return database.read_known(self.connection)

    def chunks_of(self, document_id: str) -> list[Chunk]:
        """A document's chunks by their place in it; none for an unknown document."""
        query = f'SELECT {COLUMNS} WHERE d.key = ? ORDER BY c.start, c."end"'
        with self.lock, explained(self.path / database.NAME):
            return [chunk_of(*row) for row in self.connection.execute(query, (encode(document_id),))]

    def stats(self) -> Stats:
        with self.lock, explained(self.path / database.NAME):
            query = "SELECT COUNT(*), COALESCE(SUM(characters), 0) FROM documents"
            documents, characters = self.connection.execute(query).fetchone()
        model = self.manifest.dense
        return Stats(
            generation=self.generation,
            documents=documents,
            chunks=self.size,
            dead=self.rows - self.size,
            segments=len(self.segments),
            characters=characters,
            vector_bytes=sum(segment.bytes for segment in self.segments),
            database_bytes=(self.path / database.NAME).stat().st_size,
            dense=str(model["model"]) if model else None,
            analyzer=self.manifest.analyzer,
        )

    def check(self, *, deep: bool = False) -> list[Problem]:
        """What is wrong with the index. `deep` also reads every byte: checksums, spans, terms."""
        with self.lock:
            return list(problems_of(self, deep=deep))


def different_terms(path: Path, manifest: Manifest, wanted: str) -> IndexMismatchError:
    return IndexMismatchError(
        f"{path}: the index holds terms of {manifest.analyzer!r}, the pipeline makes {wanted!r}",
        hint="`rag rebuild --derived-only` makes the terms anew from the stored texts",
    )


def _mapped(path: Path, spec: IndexSpec, manifest: Manifest, segments: Sequence[Segment]) -> list[Vectors] | None:
    if manifest.dense is None or spec.dense is None:
        return None
    dimension = int(manifest.dense["dimension"] or 0)
    return [
        map_segment(path / database.VECTORS / segment.file, rows=segment.rows, dimension=dimension)
        for segment in segments
        if segment.file is not None
    ]
