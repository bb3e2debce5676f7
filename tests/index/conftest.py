"""Small documents whose chunks are their lines, with vectors that follow from the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.embed.base import EmbedderIdentity
from rag.index.directory import IndexDirectory
from rag.index.specs import DenseIndexSpec, ExactSpec, IndexSpec
from rag.types import Chunk, Document, Scalar, Span

DIMENSION = 8
IDENTITY = EmbedderIdentity(model="fake", revision="1", dimension=DIMENSION)


def vectors_of(texts: Sequence[str], dimension: int = DIMENSION) -> NDArray[np.float32]:
    """A unit vector for each text, the same one for the same text."""
    made = np.empty((len(texts), dimension), np.float32)
    for at, text in enumerate(texts):
        seed = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        made[at] = np.random.default_rng(seed).standard_normal(dimension)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def lines_of(document: Document, meta: Sequence[dict[str, Scalar]] | None = None) -> list[Chunk]:
    """A chunk for each line that is not blank."""
    chunks, start = list[Chunk](), 0
    for line in document.text.split("\n"):
        if line.strip():
            own = meta[len(chunks)] if meta else {}
            chunks.append(Chunk(span=Span(document.id, start, start + len(line)), text=line, meta=own))
        start += len(line) + 1
    return chunks


class Index:
    """An index directory and shorthands for changing it."""

    def __init__(self, path: Path, dense: DenseIndexSpec | None) -> None:
        self.spec = IndexSpec(path=str(path), dense=dense)
        self.directory = IndexDirectory(self.spec)
        self.path = path
        self.identity = IDENTITY if dense is not None else None

    def put(self, *documents: Document, remove: Sequence[str] = (), compact: bool = False) -> int:
        """Commit documents and removals; the generation. Readers of `directory` move to it."""
        with self.directory.writer(self.identity) as writer:
            for document in documents:
                chunks = lines_of(document)
                vectors = None if self.identity is None else vectors_of([chunk.indexed_text for chunk in chunks])
                writer.add(document, chunks, vectors, stamp=f"stamp of {document.id}", fingerprint="f")
            for document_id in remove:
                writer.remove(document_id)
            generation = writer.commit()
            if compact:
                writer.compact()
        self.directory.refresh()
        return generation

    def texts(self) -> list[str]:
        """The texts of all live chunks, sorted."""
        reader = self.directory.reader()
        return sorted(chunk.text for chunk in reader.chunks(np.flatnonzero(reader.live).tolist()))

    def found(self, query: str, k: int = 10) -> list[str]:
        """What the sparse index finds, best first."""
        reader = self.directory.reader()
        assert reader.sparse is not None
        return [
            chunk.text for chunk in reader.chunks(reader.sparse.search([query], k=k, allowed=None)[0].rows.tolist())
        ]


Open = Callable[..., Index]


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[Open]:
    """Opens an index of its own, exact unless a dense spec is given."""
    opened: list[Index] = []

    def open_(dense: DenseIndexSpec | None = ExactSpec(), name: str = "index") -> Index:  # noqa: B008
        opened.append(Index(tmp_path / name, dense))
        return opened[-1]

    yield open_
    for index in opened:
        index.directory.close()


@pytest.fixture
def index(open_index: Open) -> Index:
    return open_index()


@pytest.fixture
def embed() -> Callable[[Sequence[str]], NDArray[np.float32]]:
    return vectors_of


@pytest.fixture
def identity() -> EmbedderIdentity:
    return IDENTITY


@pytest.fixture
def lines() -> Callable[..., list[Chunk]]:
    return lines_of
