"""The index directory: one handle on the truth and on what is derived from it.

::

    index.sqlite          the truth and the only commit point: documents, chunks, metadata, access, postings, manifest
    vectors/000007.f32    immutable once named in index.sqlite: (rows, dimension) float32, C order, memory-mapped
    dense/                files of approximate indexes: derived, rebuilt when behind or damaged
    multivector/          token vectors, and what is made of them: derived, made by an ingest whose pipeline reads them
    learned-sparse/       weighted terms of a learned sparse encoder: likewise
    ngrams/               suffix arrays over the documents' words: derived, made at the end of an ingest
    signatures/           MinHash signatures of the texts: derived, made by an ingest whose pipeline reads them
    embeddings.sqlite     the embedding cache: may be deleted at any time
    enrichments.sqlite    replies of the language model that enriches: may be deleted, and then has to be asked again
    LOCK                  held by the one writer, its process id inside
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from rag.embed.base import EmbedderIdentity, Vectors
from rag.errors import IndexMismatchError, IndexNotFoundError
from rag.index import database
from rag.index.reader import Reader, different_terms
from rag.index.records import Manifest

if TYPE_CHECKING:
    from rag.index.specs import IndexSpec
    from rag.index.writer import Writer


DERIVED = ("dense", "multivector", "learned-sparse", "ngrams", "signatures")


class IndexDirectory:
    """One index folder: readers share a snapshot of one generation, a writer makes the next."""

    def __init__(self, spec: IndexSpec) -> None:
        self.spec = spec
        self.path = Path(spec.path).expanduser()
        self._reader: Reader | None = None
        self._attached: dict[str, IndexDirectory] = {}
        self._lock = Lock()

    def exists(self) -> bool:
        """Whether a writer has ever been here; says nothing about the index being sound."""
        try:
            self.manifest()
        except IndexNotFoundError:
            return False
        except IndexMismatchError:
            return True
        return True

    def manifest(self) -> Manifest:
        """The newest generation's manifest.

        Raises:
            IndexNotFoundError: there is no index.
            IndexMismatchError: another version of the format.
            IndexCorruptError: the database cannot be read.
        """
        with database.open_snapshot(self.path) as (_, manifest):
            return manifest

    def check(self, identity: EmbedderIdentity | None) -> None:
        """Hold the pipeline's embedder and terms against the index; ``None`` where the pipeline has no embedder.

        Raises:
            IndexMismatchError: another model, revision, dimension, prompt or precision, or other terms; names both.
        """
        manifest = self.reader().manifest
        if identity is not None and manifest.dense is not None:
            from rag.index.store import require_same_model

            require_same_model(self.path, manifest, identity)
        if self.spec.sparse is not None:
            wanted = self.spec.sparse.analyzer().name
            if self.reader().rows and manifest.analyzer != wanted:
                raise different_terms(self.path, manifest, wanted)

    def reader(self) -> Reader:
        """A snapshot of the newest generation, kept and shared between threads until `refresh`.

        Raises:
            IndexNotFoundError: there is no index.
            IndexMismatchError: another version of the format.
            IndexCorruptError: the database or a vector segment is damaged.
        """
        with self._lock:
            if self._reader is None:
                self._reader = self._opened()
            return self._reader

    def refresh(self) -> bool:
        """Move to the newest generation, attached indexes too; true if there was a newer one.

        Readers in use keep theirs.
        """
        moved = [other.refresh() for other in self._attached.values()]
        with self._lock:
            if self._reader is None:
                return any(moved)
            with database.open_snapshot(self.path) as (_, manifest):
                if (manifest.uuid, manifest.generation) == (
                    self._reader.manifest.uuid,
                    self._reader.generation,
                ):
                    return any(moved)
            self._reader = self._opened()
            return True

    def attach(self, name: str, other: IndexDirectory) -> None:
        """Let readers give the documents of another index as ``name::id``, so that chunks of it can be cited."""
        self._attached[name] = other

    def _opened(self) -> Reader:
        reader = Reader.open(self.path, self.spec)
        reader.attached = self._attached
        return reader

    def writer(self, identity: EmbedderIdentity | None) -> Writer:
        """The one writer, a context manager: takes the lock and sweeps what a killed writer left.

        Raises (on entering):
            IndexLockedError: another writer holds the lock; names its process.
            IndexMismatchError: the index holds vectors of another model.
        """
        from rag.index.writer import Writer

        return Writer(self.path, self.spec, identity)

    def rebuild(self, *, dense: bool = True, sparse: bool = True) -> None:
        """Make derived parts anew from the truth: approximate indexes, what encoders keep, the terms of every chunk.

        Raises:
            IndexLockedError: another writer holds the lock.
        """
        from rag.index.writer import Writer

        with Writer(self.path, self.spec, None) as writer:
            if sparse and self.spec.sparse is not None:
                writer.rebuild_terms()
            if dense:
                for folder in DERIVED:
                    shutil.rmtree(self.path / folder, ignore_errors=True)

    def reembed(self, identity: EmbedderIdentity, embed: Callable[[Sequence[str]], Vectors]) -> int:
        """Replace every vector by `embed` of the chunks' indexed texts (``rag rebuild --embed-only``); the generation.

        One commit at the end: readers keep the old vectors until then. Mends damaged vector segments as well.

        Raises:
            IndexLockedError: another writer holds the lock.
        """
        from rag.index.writer import Writer

        with Writer(self.path, self.spec, None) as writer:
            return writer.reembed(identity, embed)

    def close(self) -> None:
        """Let go of the snapshot; a later `reader` opens a new one."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
