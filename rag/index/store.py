"""The truth, writable: one connection, and the transaction every change goes through.

A transaction writes and syncs vector files that no segment names yet, then commits in SQLite what names them. Killed
before, it leaves unnamed files, which the next writer sweeps; killed after, everything is there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import EmbedderIdentity, Vectors
from rag.errors import IndexMismatchError, StoreError
from rag.index import database, tables
from rag.index.codec import decode, decode_meta
from rag.index.database import explained
from rag.index.inverted import TermPostings, invert
from rag.index.records import Known, Manifest
from rag.index.segments import Segment, write_segment
from rag.text.analyze import Analyzer
from rag.types import Meta

logger = logging.getLogger(__name__)

TEXTS = 512  # read at a time
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Change:
    """What a transaction will have made."""

    manifest: Manifest
    segments: list[Segment]


class Store:
    """The newest generation, as the one writer sees and changes it. Open it only with the writer's lock held."""

    def __init__(self, path: Path, analyzer: Analyzer | None) -> None:
        self.path = path
        self.analyzer = analyzer

    def open(self) -> None:
        """Make the index if there is none, read its segments, sweep what a killed writer left."""
        self.connection = database.connect(self.path, writable=True)
        try:
            with explained(self.database):
                database.create(self.connection)
                self.manifest = database.read_manifest(self.path, self.connection)
                self.segments = database.read_segments(self.connection)
            self.sweep()
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Fold the write-ahead log into the database as far as readers let it, without waiting for them, and close."""
        try:
            with explained(self.database):
                self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self.connection.close()

    @property
    def database(self) -> Path:
        return self.path / database.NAME

    @property
    def dimension(self) -> int:
        """Of the vectors; 0 without any."""
        return 0 if self.manifest.dense is None else int(self.manifest.dense["dimension"] or 0)

    def known(self, document_id: str) -> Known | None:
        """What tells whether a document changed; ``None``: there is none of that id."""
        with explained(self.database):
            return tables.document_known(self.connection, document_id)

    def document_ids(self) -> Iterator[str]:
        """The ids of all documents, in order; read as they are asked for."""
        with explained(self.database):
            yield from tables.document_ids(self.connection)

    def sweep(self) -> None:
        """Delete vector files that no segment names: left by a killed writer, or replaced."""
        named = {segment.file for segment in self.segments}
        for file in (self.path / database.VECTORS).glob("*"):
            if file.name not in named:
                try:
                    file.unlink()
                except PermissionError:  # Windows: a reader still maps it; the next writer tries again
                    logger.info("%s is still in use", file)

    @contextmanager
    def transaction(self) -> Iterator[Change]:
        """One new generation: all of the block, or nothing of it and no file left behind.

        Raises:
            StoreError: the disk is full.
        """
        change = Change(replace(self.manifest, generation=self.manifest.generation + 1), list(self.segments))
        try:
            with explained(self.database):
                self.connection.execute("BEGIN IMMEDIATE")
                yield change
                tables.put_manifest(self.connection, change.manifest)
                self.connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # on a full disk SQLite may have rolled back already
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            self.sweep()
            if isinstance(error, OSError) and error.errno in FULL:
                raise StoreError(
                    f"{self.path}: {error.strerror}", hint="make room on the disk; what was committed before is safe"
                ) from error
            raise
        self.manifest, self.segments = change.manifest, change.segments

    def write_vectors(self, blocks: Iterable[Vectors]) -> tuple[str, int, str]:
        """Name, bytes and checksum of a new vector file; inside a transaction."""
        file = f"{tables.take_numbers(self.connection, 'file', 1):06d}.f32"
        return (file, *write_segment(self.path / database.VECTORS / file, blocks))

    def terms(self, chunks: Iterable[tuple[str, Meta]]) -> tuple[NDArray[np.int64] | None, Iterator[TermPostings]]:
        """Lengths and postings of chunks by indexed text and metadata; none where the spec has no sparse index."""
        analyzer = self.analyzer
        if analyzer is None:
            return None, iter(())
        return invert([analyzer.terms(analyzer.text_of(text, meta)) for text, meta in chunks])

    def texts(self, segment: Segment) -> Iterator[tuple[str, Meta]]:
        """The indexed text and the metadata of each row; empty for deleted ones."""
        for start in range(0, segment.rows, TEXTS):
            ids = segment.chunks[start : start + TEXTS].tolist()
            stored = tables.texts_of(self.connection, ids)
            for id_ in ids:
                context, text, meta = stored.get(id_, (b"", b"", None))
                yield decode(context + b"\n" + text if context else text), decode_meta(meta)


def require_same_model(path: Path, manifest: Manifest, identity: EmbedderIdentity) -> None:
    """Hold an embedder against the vectors of an index.

    Raises:
        IndexMismatchError: another model, revision, dimension, pooling, prompt or precision, or no vectors at all.
    """
    hint = "use the same model, or `rag rebuild --embed-only`"
    if manifest.dense is None:
        raise IndexMismatchError(
            f"{path}: the index holds no vectors, the pipeline embeds with {identity.model!r}", hint=hint
        )
    stored, wanted = manifest.dense, identity.as_dict()
    differing = [name for name in wanted if stored.get(name) != wanted[name]]
    if differing:
        index_has = ", ".join(f"{name} {stored.get(name)!r}" for name in differing)
        pipeline_has = ", ".join(f"{name} {wanted[name]!r}" for name in differing)
        raise IndexMismatchError(
            f"{path}: the index holds vectors of {stored['model']!r} ({index_has}), "
            f"the pipeline embeds with {identity.model!r} ({pipeline_has})",
            hint=hint,
        )
