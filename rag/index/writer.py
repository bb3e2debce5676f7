"""The writer: gathers changes to documents and makes them one generation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import EmbedderIdentity, Vectors
from rag.errors import IndexMismatchError
from rag.index import compaction, maintenance, tables
from rag.index.cache import EmbeddingCache
from rag.index.codec import encode
from rag.index.lock import WriterLock
from rag.index.records import Known
from rag.index.segments import Segment
from rag.index.store import Change, Store, require_same_model
from rag.types import Chunk, Document

if TYPE_CHECKING:
    from rag.index.specs import IndexSpec

logger = logging.getLogger(__name__)

SEGMENTS = 32  # small ones are merged during a long ingest beyond this many, so that readers stay fast


@dataclass(frozen=True, slots=True)
class Addition:
    """A document waiting for the commit."""

    document: Document
    chunks: Sequence[Chunk]
    vectors: Vectors | None
    stamp: str
    fingerprint: str


class Writer:
    """Changes to one index; a context manager that holds the writer's lock. Not for several threads.

    Entering raises:
        IndexLockedError: another writer holds the lock.
        IndexMismatchError: the index holds vectors of another model, or is of another format.
    """

    def __init__(self, path: Path, spec: IndexSpec, identity: EmbedderIdentity | None) -> None:
        self.path = path
        self.spec = spec
        self.identity = identity
        self.cache = EmbeddingCache(path)
        self._lock = WriterLock(path)
        self._added: dict[str, Addition] = {}
        self._removed: set[str] = set()
        self._touched: dict[str, str] = {}

    def __enter__(self) -> Writer:
        self._lock.acquire()
        try:
            self._store = Store(self.path, self.spec.sparse.analyzer() if self.spec.sparse is not None else None)
            self._store.open()
            try:
                self._prepare()
            except BaseException:
                self._store.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        return self

    def _prepare(self) -> None:
        store = self._store
        if self.identity is not None and store.segments:
            require_same_model(self.path, store.manifest, self.identity)
        if store.analyzer is not None and store.segments and store.manifest.analyzer != store.analyzer.name:
            logger.warning("%s: making the terms anew, now by %s", self.path, store.analyzer.name)
            self.rebuild_terms()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give up what was not committed, and let others write."""
        try:
            self.cache.close()
            self._store.sweep()
            self._store.close()
        finally:
            self._lock.release()

    def known(self, document_id: str) -> Known | None:
        """What tells whether a document changed, as it will be after the next commit; ``None``: not in the index."""
        if document_id in self._added:
            new = self._added[document_id]
            return Known(new.stamp, new.document.content_hash, new.fingerprint)
        if document_id in self._removed:
            return None
        old = self._store.known(document_id)
        if old is not None and document_id in self._touched:
            return replace(old, stamp=self._touched[document_id])
        return old

    def document_ids(self) -> Iterator[str]:
        """All documents as they will be after the next commit, in order; any may be removed on the way."""
        last = None
        for document_id in merge(self._store.document_ids(), sorted(self._added)):
            if document_id != last and document_id not in self._removed:
                yield document_id
            last = document_id

    def cached_vectors(self, keys: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """Vectors from the embedding cache, ``None`` where there is none."""
        return self.cache.get(keys)

    def cache_vectors(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Put vectors into the embedding cache; they are kept at once, whatever becomes of the commit."""
        self.cache.put(keys, vectors)

    def add(
        self, document: Document, chunks: Sequence[Chunk], vectors: Vectors | None, *, stamp: str, fingerprint: str
    ) -> None:
        """Put in a document, in the place of an older version. Readers see it after the commit.

        Args:
            vectors: (chunks, dimension) float32, unit length; ``None`` for a writer without an embedder's identity.

        Raises:
            ValueError: a chunk is not a stretch of the document, occurs twice, or the vectors do not fit the chunks.
            IndexMismatchError: no vectors, for an index that holds some.
        """
        _require_chunks_of(document, chunks)
        if (vectors is None) != (self.identity is None):
            raise ValueError("vectors go with an embedder's identity: give both or none")
        if vectors is not None and self.identity is not None:
            maintenance.require_vectors(vectors, (len(chunks), self.identity.dimension))
        manifest = self._store.manifest
        if vectors is None and self._store.segments and manifest.dense is not None:
            raise IndexMismatchError(
                f"{self.path}: the index holds vectors of {manifest.dense['model']!r}, the pipeline makes none",
                hint="set ingest.index.dense, or ingest into another folder",
            )
        self._removed.discard(document.id)
        self._touched.pop(document.id, None)
        self._added[document.id] = Addition(document, chunks, vectors, stamp, fingerprint)

    def touch(self, document_id: str, *, stamp: str) -> None:
        """Note a new stamp of a document whose content is the same.

        Raises:
            LookupError: the document is not in the index.
        """
        self._require(document_id)
        if document_id in self._added:
            self._added[document_id] = replace(self._added[document_id], stamp=stamp)
        else:
            self._touched[document_id] = stamp

    def remove(self, document_id: str) -> None:
        """Take a document out at the next commit.

        Raises:
            LookupError: the document is not in the index.
        """
        self._require(document_id)
        self._added.pop(document_id, None)
        self._touched.pop(document_id, None)
        if self._store.known(document_id) is not None:
            self._removed.add(document_id)

    def _require(self, document_id: str) -> None:
        if self.known(document_id) is None:
            raise LookupError(f"{self.path}: there is no document {document_id!r}")

    def commit(self) -> int:
        """Make all changes one new generation, durable when this returns; its number. No changes: the present one.

        Raises:
            StoreError: the disk is full; nothing changed, and the commit can be tried again.
        """
        if not (self._added or self._removed or self._touched):
            return self._store.manifest.generation
        started = perf_counter()
        additions = list(self._added.values())
        with self._store.transaction() as change:
            replaced = self._delete([*self._added, *self._removed], change)
            self._insert(additions, change)
            self._store.connection.executemany(
                "UPDATE documents SET stamp = ? WHERE key = ?",
                [(encode(stamp), encode(key)) for key, stamp in self._touched.items()],
            )
        self._added, self._removed, self._touched = {}, set(), {}
        generation = self._store.manifest.generation
        logger.info(
            "%s: committed generation %d: %d documents put in, %d taken out or replaced, %.1f s",
            self.path,
            generation,
            len(additions),
            replaced,
            perf_counter() - started,
        )
        if len(compaction.small(self._store.segments)) > SEGMENTS:
            self.compact()
        return self._store.manifest.generation

    def _delete(self, document_ids: Sequence[str], change: Change) -> int:
        """Take documents out, those that are there; how many."""
        connection = self._store.connection
        numbers = tables.document_numbers(connection, document_ids)
        if not numbers:
            return 0
        tables.delete_documents(connection, numbers)
        for at, segment in enumerate(change.segments):
            smaller = tables.without(segment, numbers)
            if smaller is not segment:
                tables.update_segment(connection, smaller)
                change.segments[at] = smaller
        return len(numbers)

    def _insert(self, additions: Sequence[Addition], change: Change) -> None:
        connection = self._store.connection
        counts = [len(addition.chunks) for addition in additions]
        document = tables.take_numbers(connection, "document", len(additions))
        first_chunk = tables.take_numbers(connection, "chunk", sum(counts))
        chunk = first_chunk
        for number, addition in enumerate(additions, document):
            tables.insert_document(
                connection,
                number,
                addition.document,
                chunks=len(addition.chunks),
                stamp=addition.stamp,
                fingerprint=addition.fingerprint,
            )
            tables.insert_chunks(connection, number, chunk, addition.chunks)
            chunk += len(addition.chunks)
        if chunk > first_chunk:
            documents = np.repeat(np.arange(document, document + len(additions)), counts)
            self._insert_segment(additions, np.arange(first_chunk, chunk), documents, change)

    def _insert_segment(
        self,
        additions: Sequence[Addition],
        chunks: NDArray[np.int64],
        documents: NDArray[np.int64],
        change: Change,
    ) -> None:
        store = self._store
        file, size, checksum = None, 0, ""
        if self.identity is not None:
            blocks = (addition.vectors for addition in additions if addition.vectors is not None)
            file, size, checksum = store.write_vectors(blocks)
            change.manifest = replace(change.manifest, dense=self.identity.as_dict())
        chunks_with_meta = ((c.indexed_text, c.meta) for addition in additions for c in addition.chunks)
        lengths, postings = store.terms(chunks_with_meta)
        if store.analyzer is not None:
            change.manifest = replace(change.manifest, analyzer=store.analyzer.name)
        segment = Segment(
            id=tables.take_numbers(store.connection, "segment", 1),
            chunks=chunks,
            documents=documents,
            lengths=lengths,
            file=file,
            bytes=size,
            checksum=checksum,
        )
        tables.insert_segment(store.connection, segment)
        tables.insert_postings(store.connection, segment.id, postings)
        change.segments.append(segment)

    def compact(self) -> None:
        """Merge small segments and drop deleted rows, where that is due, in commits of their own; count new n-grams.

        Raises:
            StoreError: the disk is full; nothing changed.
        """
        maintenance.compact(self._store)
        if self.spec.ngrams is not None:
            maintenance.count_ngrams(self.path, self.spec.ngrams)
        self.cache.trim(keep_bytes=2 * sum(segment.bytes for segment in self._store.segments))

    def rebuild_terms(self) -> None:
        """Make the terms of every chunk anew from its stored text; a commit of its own.

        Raises:
            ValueError: the spec has no sparse index.
        """
        maintenance.rebuild_terms(self._store)

    def reembed(self, identity: EmbedderIdentity, embed: Callable[[Sequence[str]], Vectors]) -> int:
        """Make every vector anew, with another model or the same; a commit of its own. The new generation."""
        maintenance.reembed(self._store, identity, embed)
        self.identity = identity
        return self._store.manifest.generation


def _require_chunks_of(document: Document, chunks: Sequence[Chunk]) -> None:
    """Every chunk is the document's text at its span, and none is empty or there twice."""
    if len({chunk.span for chunk in chunks}) < len(chunks):
        raise ValueError(f"two chunks of {document.id!r} have the same span")
    for chunk in chunks:
        span = chunk.span
        if span.document_id != document.id or not chunk.text or document.text[span.start : span.end] != chunk.text:
            raise ValueError(f"the text of {chunk.id!r} is not the text of {document.id!r} at its span")
