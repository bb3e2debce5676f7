"""Chroma as the dense index: embedded in the index folder, or a server by its URL.

Chroma holds vectors under chunk ids and nothing else; what it loses is put in again from the segments. A collection
carries a note of whose vectors it holds: one of another embedder is made anew, one of another index is refused.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from hashlib import blake2b
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from rag.embed.base import Vectors
from rag.errors import BackendError, IndexMismatchError, MissingExtraError
from rag.index.approximate import ApproximateIndex
from rag.index.base import Hits, Mask, Rows
from rag.index.segments import SegmentedVectors

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

logger = logging.getLogger(__name__)

BLOCK = 2048  # vectors in one request
MARGIN = 1.5  # asked for beyond what the mask lets through in the mean


class ChromaIndex:
    """A `DenseIndex` over a Chroma collection of the space ``ip``, brought up to date at the first search."""

    def __init__(
        self,
        vectors: SegmentedVectors,
        *,
        url: str | None,
        collection: str,
        ef_construction: int,
        ef_search: int,
    ) -> None:
        self.vectors = vectors
        self.url = url
        self.name = collection
        self.ef_construction = ef_construction
        self.ef_search = ef_search
        self._approximate = ApproximateIndex(vectors, self)
        self._lock = Lock()
        self._collection: Collection | None = None

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        return self._approximate.search(queries, k=k, allowed=allowed)

    def find(self, queries: Vectors, *, k: int, allowed: Mask) -> Sequence[Rows]:
        """Candidates from Chroma, which knows no masks: so many more are asked for as the mask will take out.

        Raises:
            BackendError: the server does not answer.
            IndexMismatchError: the server's collection belongs to another index.
            MissingExtraError: chromadb is not installed.
        """
        with self._lock:
            collection = self._collection = self._collection or self._open()
        share = np.count_nonzero(allowed) / len(allowed)
        wanted = min(ceil(k * MARGIN / share), int(np.count_nonzero(self.vectors.live)))
        found = collection.query(query_embeddings=np.ascontiguousarray(queries), n_results=wanted, include=[])
        order = np.argsort(self.vectors.chunks)
        return [self._rows(np.array(ids, np.int64), order) for ids in found["ids"]]

    def _rows(self, chunks: Rows, order: Rows) -> Rows:
        at = np.minimum(np.searchsorted(self.vectors.chunks, chunks, sorter=order), len(order) - 1)
        rows: Rows = order[at]
        known: Mask = self.vectors.chunks[rows] == chunks
        return np.extract(known, rows)

    def _open(self) -> Collection:
        try:
            import chromadb  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("chromadb", extra="chroma", needed_for="`use: chroma`") from error
        if self.url is not None:
            try:
                return self._up_to_date(_server(self.url))
            except IndexMismatchError:
                raise
            except Exception as error:  # chromadb has no common class for what a server can do
                raise BackendError(f"{self.url}: {error}", hint="is the Chroma server running?") from error
        try:
            return self._up_to_date(self._embedded())
        except Exception as error:
            logger.warning("%s is damaged and is rebuilt: %s", self._folder, error)
            _forget_clients()
            shutil.rmtree(self._folder, ignore_errors=True)
            return self._up_to_date(self._embedded())

    @property
    def _folder(self) -> str:
        return str(self.vectors.folder / "chroma")

    def _embedded(self) -> ClientAPI:
        import chromadb
        from chromadb.config import Settings

        return chromadb.PersistentClient(self._folder, settings=Settings(anonymized_telemetry=False))

    def _up_to_date(self, client: ClientAPI) -> Collection:
        collection = self._mine(client)
        live = self.vectors.chunks[self.vectors.live]
        digest = blake2b(np.sort(live).tobytes(), digest_size=16).hexdigest()
        if (collection.metadata or {}).get("chunks") == digest:
            return collection
        held = np.array(collection.get(include=[])["ids"], np.int64)
        # Ids beyond ours belong to a newer generation, whose reader shares the collection.
        gone = [str(id_) for id_ in np.setdiff1d(held, live) if id_ <= live.max(initial=0)]
        new = np.flatnonzero(self.vectors.live & np.isin(self.vectors.chunks, held, invert=True))
        logger.info("%s: putting %d vectors into Chroma, taking %d out", self.name, len(new), len(gone))
        for start in range(0, len(gone), BLOCK):
            collection.delete(ids=gone[start : start + BLOCK])
        for start in range(0, len(new), BLOCK):
            rows = new[start : start + BLOCK]
            ids = [str(id_) for id_ in self.vectors.chunks[rows]]
            collection.upsert(ids=ids, embeddings=self.vectors.take(rows))
        collection.modify(metadata={**self._note, "chunks": digest})
        return collection

    def _mine(self, client: ClientAPI) -> Collection:
        """The collection, if it holds vectors of this index and this embedder; otherwise a new one."""
        if self.name in [str(getattr(found, "name", found)) for found in client.list_collections()]:
            collection = client.get_collection(self.name, embedding_function=None)
            note = collection.metadata or {}
            if all(note.get(field) == value for field, value in self._note.items()):
                return collection
            if self.url is not None and note.get("index") != self._note["index"]:
                raise IndexMismatchError(
                    f"{self.url}: the collection {self.name!r} belongs to another index",
                    hint="name another one: ingest.index.dense.collection",
                )
            client.delete_collection(self.name)
        return client.create_collection(
            self.name,
            embedding_function=None,
            metadata=self._note,
            configuration={
                "hnsw": {"space": "ip", "ef_construction": self.ef_construction, "ef_search": self.ef_search}
            },
        )

    @property
    def _note(self) -> dict[str, str]:
        index, _, embedder = self.vectors.key.partition(" ")
        options = f"ef_construction={self.ef_construction} ef_search={self.ef_search}"
        return {"index": index, "embedder": embedder, "options": options}


def _server(url: str) -> ClientAPI:
    import chromadb
    from chromadb.config import Settings

    parts = urlsplit(url)
    return chromadb.HttpClient(
        host=parts.hostname or "localhost",
        port=parts.port or (443 if parts.scheme == "https" else 80),
        ssl=parts.scheme == "https",
        settings=Settings(anonymized_telemetry=False),
    )


def _forget_clients() -> None:
    """Chroma keeps one system a path in each process, also when its files are gone."""
    from chromadb.api.shared_system_client import SharedSystemClient

    SharedSystemClient.clear_system_cache()
