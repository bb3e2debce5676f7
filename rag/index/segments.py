"""Vector segments: immutable files of unit vectors, written once, mapped into memory by every reader."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.errors import IndexCorruptError
from rag.index.base import Mask, Rows

BLOCK = 1 << 20  # bytes read at a time for a checksum


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows that were committed together. `chunks` and `documents` are ids by row; document 0 is a deleted row.

    `lengths` are terms by row, ``None`` without a sparse index. `file` is ``None`` without vectors.
    """

    id: int
    chunks: NDArray[np.int64]
    documents: NDArray[np.int64]
    lengths: NDArray[np.int64] | None
    file: str | None
    bytes: int
    checksum: str

    @property
    def rows(self) -> int:
        return len(self.chunks)

    @property
    def live(self) -> int:
        return int(np.count_nonzero(self.documents))


@dataclass(frozen=True)
class SegmentedVectors:
    """All vectors of one generation: row n of the index is row n - base of its segment.

    Attributes:
        folder: where derived files may lie; made by who writes there.
        key: what the vectors are: the index's uuid and the embedder's identity. Derived files of another key are void.
        chunks: (rows,) the id of each row's chunk; it keeps its vector for life, also when segments are merged.
        live: (rows,) false where the chunk was deleted.
    """

    folder: Path
    key: str
    dimension: int
    parts: Sequence[Vectors]
    chunks: NDArray[np.int64]
    live: Mask

    @property
    def rows(self) -> int:
        return len(self.chunks)

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """(base, vectors) of each segment."""
        base = 0
        for part in self.parts:
            yield base, part
            base += len(part)

    def take(self, rows: Rows) -> Vectors:
        """(n, d) copies of the vectors of any rows, in their order."""
        if len(self.parts) == 1:
            return self.parts[0][rows]
        taken = np.empty((len(rows), self.dimension), np.float32)
        for base, part in self.blocks():
            here = np.flatnonzero((rows >= base) & (rows < base + len(part)))
            taken[here] = part[rows[here] - base]
        return taken


def write_segment(path: Path, blocks: Iterable[Vectors]) -> tuple[int, str]:
    """Write vectors one after the other, durably; the file's bytes and checksum. A failed write leaves no file.

    Raises:
        OSError: the disk is full, or the file exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = blake2b(digest_size=16), 0
    try:
        with path.open("xb") as file:
            for block in blocks:
                data = np.asarray(block, dtype="<f4").tobytes()
                file.write(data)
                digest.update(data)
                size += len(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return size, digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows does so by itself and cannot open folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def map_segment(path: Path, *, rows: int, dimension: int) -> Vectors:
    """Map a segment, read only.

    Raises:
        FileNotFoundError: no such file.
        IndexCorruptError: it has another size than (rows, dimension) float32.
    """
    _require_size(path, rows, dimension)
    return np.memmap(path, dtype="<f4", mode="r", shape=(rows, dimension)).view(np.ndarray)


def read_segment(path: Path, *, rows: int, dimension: int, at_once: int) -> Iterator[Vectors]:
    """The vectors of a segment from first to last, `at_once` in memory: a mapping would keep all that was read.

    Raises:
        FileNotFoundError: no such file.
        IndexCorruptError: it has another size than (rows, dimension) float32.
    """
    _require_size(path, rows, dimension)
    with path.open("rb") as file:
        for start in range(0, rows, at_once):
            some = min(at_once, rows - start)
            yield np.fromfile(file, "<f4", some * dimension).reshape(some, dimension)


def _require_size(path: Path, rows: int, dimension: int) -> None:
    expected, found = rows * dimension * 4, path.stat().st_size
    if found != expected:
        raise IndexCorruptError(
            f"{path}: expected {expected} bytes ({rows} vectors of {dimension}), found {found}",
            hint="`rag rebuild --embed-only` computes the vectors anew from the stored texts",
        )


def checksum(path: Path) -> str:
    """BLAKE2b-128 of a file, hexadecimal."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
