"""Where prepared models are kept, and how they get there whole."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from rag.errors import ModelError

MANIFEST = "manifest.json"
_BLOCK = 1 << 20


def cache_directory() -> Path:
    """``$RAGLOOM_CACHE``, or ``ragloom`` in the platform's folder for caches. It may be deleted at any time."""
    if chosen := os.environ.get("RAGLOOM_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ragloom"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "ragloom" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragloom"


def is_intact(folder: Path) -> bool:
    """Whether every file that `install` put into the folder still has its size and its CRC-32."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return all(_sum_of(folder / name) == tuple(expected) for name, expected in manifest.items())
    except (OSError, ValueError, AttributeError, TypeError):  # missing, or not what `install` wrote
        return False


def install(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Make `folder` by filling a temporary one beside it and renaming: it is there whole or not at all.

    Of two processes that do it at once, one wins and both use its folder. A damaged folder is replaced.

    Raises:
        ModelError: the cache cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _not_writable(error) from error
    try:
        fill(temporary)
        sums = {path.relative_to(temporary).as_posix(): _sum_of(path) for path in _files(temporary)}
        (temporary / MANIFEST).write_text(json.dumps(sums, indent=1), encoding="utf-8")
        for path in _files(temporary):
            _sync(path)
        _swap(temporary, folder)
    except OSError as error:
        raise _not_writable(error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _swap(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:  # something is there: another process was faster, or it is damaged
        if is_intact(folder):
            return
        grave = Path(tempfile.mkdtemp(prefix=".damaged.", dir=folder.parent))
        folder.rename(grave / folder.name)
        temporary.rename(folder)
        shutil.rmtree(grave, ignore_errors=True)
    if os.name == "posix":
        _sync(folder.parent)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sum_of(path: Path) -> tuple[int, int]:
    """Size in bytes and CRC-32. It finds damage, not malice: who can write here can write the manifest too."""
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            crc = zlib.crc32(block, crc)
    return size, crc


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_writable(error: OSError) -> ModelError:
    return ModelError(
        f"the model cache cannot be written: {error}",
        hint="set RAGLOOM_CACHE to a folder that can be written, with 100 MB free",
    )
