"""Files derived from the vectors: named with what they were made of, believed only if that still holds."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask, Rows
from rag.index.segments import checksum, sync_folder

logger = logging.getLogger(__name__)

HEAD = 1 << 16  # bytes: of a safetensors file, its header and the first values
DEAD = 0.2  # share of deleted chunks from which a file is built anew


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """An index file, and beside it a note of what it was made of: ``hnsw.faiss`` and ``hnsw.json``.

    `key` is everything it depends on besides which chunks are in it: index, embedder, options, library version.
    """

    path: Path
    key: str

    def chunks(self, *, deep: bool = True) -> NDArray[np.int64] | None:
        """The chunk ids in the file, in its own order; ``None`` where it is missing, of another key, or damaged.

        Args:
            deep: compare the checksum of the whole file; else its size and the checksum of its first `HEAD` bytes.
        """
        if not self.path.is_file() or not self._note.is_file():
            return None
        try:
            note = json.loads(self._note.read_bytes())
            if note["key"] != self.key:
                return None
            marks = _marks(self.path) if not deep and "size" in note else {"checksum": checksum(self.path)}
            if any(note[name] != value for name, value in marks.items()):
                logger.warning("%s is damaged and is rebuilt", self.path)
                return None
            return np.array(note["chunks"], np.int64)
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged and is rebuilt: %s", self._note, error)
            return None

    def intact(self) -> bool:
        """Whether every byte is what was written, whatever it was made of."""
        try:
            return bool(json.loads(self._note.read_bytes())["checksum"] == checksum(self.path))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def write(self, chunks: NDArray[np.int64], write: Callable[[Path], None]) -> None:
        """Replace both files; a folder that cannot be written to only costs the next process the same work."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = mkstemp(dir=self.path.parent, prefix=self.path.stem, suffix=".tmp")
            os.close(handle)
            temporary = Path(name)
            try:
                write(temporary)
                marks = {"checksum": checksum(temporary), **_marks(temporary)}
                note = json.dumps({"key": self.key, **marks, "chunks": chunks.tolist()})
                temporary.replace(self.path)
                temporary.write_text(note, encoding="ascii")
                temporary.replace(self._note)
                sync_folder(self.path.parent)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s could not be kept: %s", self.path, error)

    def remove(self) -> None:
        """Delete both files; one that is in use where that forbids it stays, and is passed over."""
        for path in (self._note, self.path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("%s could not be deleted: %s", path, error)

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")


def _marks(path: Path) -> dict[str, str | int]:
    """What tells a file from one that was cut off, or is another, without reading it."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "head": blake2b(file.read(HEAD), digest_size=16).hexdigest()}


class HasChunks(Protocol):
    """Rows of one generation: the chunk id of each, and whether it is still there."""

    @property
    def chunks(self) -> NDArray[np.int64]: ...

    @property
    def live(self) -> Mask: ...


def rows_of(held: HasChunks, chunks: NDArray[np.int64]) -> Rows:
    """The row of each chunk id, -1 where the chunk was deleted."""
    order = np.argsort(held.chunks)
    ordered = held.chunks[order]
    at = np.minimum(np.searchsorted(ordered, chunks), len(ordered) - 1)
    rows = order[at]
    return np.where((ordered[at] == chunks) & held.live[rows], rows, -1)
