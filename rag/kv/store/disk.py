"""The disk tier: a safetensors file for each cache, written aside and renamed, checked before it is used, mapped."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from zlib import crc32

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rag.errors import StoreError
from rag.kv.chunk import TENSORS, ChunkCache
from rag.kv.store.index import CacheIndex, Row
from rag.kv.variant import Variant

logger = logging.getLogger(__name__)

_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of all files found: caches whose file was gone or damaged, files that no row names; both removed."""

    intact: int
    damaged: int
    orphans: int


class DiskTier:
    """Used by one process or several. A file goes after its row, so that a row without a file is a damaged cache."""

    def __init__(self, folder: Path, budget: int, *, model: str, variants: int) -> None:
        self.folder = folder
        self.budget = budget
        self.index = CacheIndex(folder / "index.sqlite", model=model, variants=variants)
        self.damaged = 0
        self._checked: dict[bytes, tuple[int, int, int]] = {}  # checksum, inode, time of intact files

    def get(self, variant: Variant) -> ChunkCache | None:
        """Mapped, not read; ``None`` where it is not there, or damaged, and then it is removed.

        A file's checksum is computed when this process first sees the file.
        """
        row = self.index.find(variant)
        if row is None:
            return None
        cache = self._read(row)
        if cache is None:
            self.damaged += 1
            logger.warning("a chunk cache is damaged and is computed again: %s", self._path(variant))
            try:
                self._delete(variant)
            except StoreError as error:  # a full disk takes no change: it is found damaged again
                logger.warning("it could not be removed: %s", error)
            return None
        self.index.use(variant)
        return cache

    def add(self, variant: Variant, cache: ChunkCache) -> None:
        """Write a cache; one whose file is larger than the budget is not kept.

        Raises:
            OSError, StoreError: it cannot be written, as where the disk is full; nothing of it is left.
        """
        content = save(
            {name: tensor.contiguous().cpu() for name, tensor in cache.tensors().items()}, {"base": str(cache.base)}
        )
        if len(content) > self.budget:
            return
        path = self._path(variant)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}-{get_ident()}.tmp")  # another pipeline may write the same one
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self._checked.pop(variant.key, None)
        try:
            outlived = self.index.add(Row(variant, len(content), crc32(content)), budget=self.budget)
        except StoreError:
            self._unlink(variant)
            raise
        for gone in outlived:
            self._unlink(gone)

    def shrink(self, budget: int) -> int:
        """Down to `budget` bytes, the least worthy first; how many caches went."""
        gone = self.index.shrink(budget)
        for variant in gone:
            self._unlink(variant)
        return len(gone)

    def verify(self) -> Verified:
        """Check every file against its row; remove what is damaged, and files that no row names."""
        self._checked.clear()
        intact = damaged = orphans = 0
        named = set()
        for row in self.index.rows():
            if self._read(row) is None:
                damaged += 1
                self._delete(row.variant)
            else:
                intact += 1
                named.add(self._path(row.variant))
        for path in self._files():
            # A row that another process has entered since is not an orphan's.
            if path not in named and path not in {self._path(row.variant) for row in self.index.rows()}:
                orphans += 1
                path.unlink(missing_ok=True)
        return Verified(intact, damaged, orphans)

    def _read(self, row: Row) -> ChunkCache | None:
        path = self._path(row.variant)
        try:
            if not self._intact(row, path):
                return None
            with safe_open(path, "pt") as file:
                names = set(file.keys())
                if not {"keys", "values"} <= names <= set(TENSORS):
                    return None
                return ChunkCache(base=int(file.metadata()["base"]), **{name: file.get_tensor(name) for name in names})
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            logger.debug("%s: %s", path, error)
            return None

    def _intact(self, row: Row, path: Path) -> bool:
        status = path.stat()
        stamp = (row.checksum, status.st_ino, status.st_mtime_ns)
        if status.st_size != row.size or not row.size:
            return False
        if self._checked.get(row.variant.key) == stamp:
            return True
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if crc32(content) != row.checksum:
                return False
        self._checked[row.variant.key] = stamp
        return True

    def _delete(self, variant: Variant) -> None:
        self.index.remove(variant)
        self._unlink(variant)

    def _unlink(self, variant: Variant) -> None:
        with suppress(OSError):  # gone already, or it stays and `verify` finds that no row names it
            self._path(variant).unlink()

    def _path(self, variant: Variant) -> Path:
        name = variant.key.hex()
        return self.folder / name[:2] / f"{name}{_SUFFIX}"

    def _files(self) -> Iterator[Path]:
        """Caches, and what a killed writer left."""
        yield from self.folder.glob(f"??/*{_SUFFIX}")
        yield from self.folder.glob("??/*.tmp")
