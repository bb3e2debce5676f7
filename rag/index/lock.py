"""The writer's lock: held by the operating system, so that it ends with the process that holds it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

from rag.errors import IndexLockedError, StoreError

NAME = "LOCK"


class WriterLock:
    """``LOCK`` in the index folder, the holder's process id inside. Excludes a second writer in one process as well."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock or fail at once.

        Raises:
            IndexLockedError: another writer holds it; names its process.
            StoreError: nothing can be written in the folder, or it is a file.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+b")
        except OSError as error:
            raise StoreError(
                f"{self.path.parent}: the index cannot be written: {error.strerror}",
                hint="ingest.index.path names the folder of the index",
            ) from error
        try:
            _lock(file)
        except OSError as error:
            file.seek(0)
            holder = file.read(32).decode("ascii", "replace").strip() or "unknown"
            file.close()
            raise IndexLockedError(
                f"{self.path.parent}: process {holder} is writing to this index", hint="wait for it to end, or stop it"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock up; the file stays, so that no two processes ever lock two files of the same name."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(0)
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30  # a byte beyond the process id, which stays readable

    def _lock(file: IO[bytes]) -> None:
        file.seek(FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
