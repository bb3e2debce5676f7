"""Local files: a folder, or a single file."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import yaml
from pydantic import Field

from rag.errors import ConfigError, SourceError
from rag.load.decode import is_binary
from rag.load.formats import PICTURES, SUFFIXES
from rag.load.specs import ConnectorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pathspec import GitIgnoreSpec

    from rag.load.base import Source
    from rag.resources import Resources
    from rag.types import Scalar

_Ignores: TypeAlias = "list[tuple[str, GitIgnoreSpec]]"  # the folder of each .gitignore, the innermost first

ACCESS_FILE = ".access.yaml"
_SNIFFED_BYTES = 8192


class FilesSpec(ConnectorSpec):
    """Files of a folder and the folders below it, in the order of their paths.

    Hidden and empty files, what .gitignore names, and links that lead out of the root are left out. Files of unknown
    suffix are read when they hold text, pictures with ``ingest.parse.ocr``. A document's id is its path relative to the
    root.
    """

    use: Literal["files"] = "files"
    root: str = "."
    """The folder, or a single file; relative to the working directory."""
    include: tuple[str, ...] = ()
    """Patterns as in .gitignore; only files that match one are read. Empty: every file that holds text."""
    exclude: tuple[str, ...] = ()
    """Patterns as in .gitignore; files and folders that match one are left out."""
    gitignore: bool = True
    """Whether files that a .gitignore names are left out."""
    prefix: str = ""
    """Put before every id, to keep several roots apart: ``handbook/``."""
    max_megabytes: float = Field(100, gt=0)
    """Larger files are an error each (10^6 bytes)."""
    access: tuple[str, ...] | None = None
    """The principals who may see these documents. An ``.access.yaml`` in the root can say more: patterns, each with a
    list of principals; the first that matches a file replaces this list."""

    def build(self, resources: Resources) -> FilesConnector:
        return FilesConnector(self, pictures=resources.reads_pictures)


class FilesConnector:
    """Walks the folder when it is asked; `skipped` counts what the last walk left out, by reason."""

    def __init__(self, spec: FilesSpec, *, pictures: bool = False) -> None:
        self.spec = spec
        self.suffixes = SUFFIXES.keys() if pictures else SUFFIXES.keys() - PICTURES
        self.skipped: Counter[str] = Counter()
        self._unreadable: list[OSError] = []

    def load(self) -> Iterator[Source]:
        """List what there is, folders that cannot be read left out.

        Raises:
            SourceError: there is no such folder; or, when all else is listed, a folder could not be read.
            ConfigError: ``.access.yaml`` is wrong.
        """
        root = Path(self.spec.root).expanduser()
        if not root.exists():
            raise SourceError("there is no such folder or file", source=str(root), hint="check ingest.load root")
        if not root.is_dir():
            yield self._source(root, root.name, self.spec.access)
            return
        rules = _access_rules(root / ACCESS_FILE)
        for path, name in self._paths(root):
            access = next((allowed for pattern, allowed in rules if pattern.match_file(name)), self.spec.access)
            yield self._source(path, name, access)
        if self._unreadable:
            first, *others = self._unreadable
            more = f"; nor can {len(others)} more" if others else ""
            raise SourceError(f"the folder cannot be read: {first.strerror}{more}", source=str(first.filename))

    def count(self) -> int:
        """How many files `load` will list."""
        root = Path(self.spec.root).expanduser()
        return sum(1 for _ in self._paths(root)) if root.is_dir() else int(root.exists())

    def _paths(self, root: Path) -> Iterator[tuple[Path, str]]:
        self.skipped = Counter()
        self._unreadable = []
        include = _patterns(self.spec.include) if self.spec.include else None
        exclude = _patterns(self.spec.exclude)
        for path, name in self._walk(root, exclude):
            if include is not None and not include.match_file(name):
                self.skipped["not included"] += 1
            elif include is None and path.suffix.lower() not in self.suffixes and not _holds_text(path):
                self.skipped[path.suffix.lower() or "binary without a suffix"] += 1
            elif (status := _status(path)) is not None and status.st_size == 0:
                self.skipped["empty"] += 1
            else:
                yield path, name

    def _walk(self, root: Path, exclude: GitIgnoreSpec) -> Iterator[tuple[Path, str]]:
        """Regular files below `root`, each with its path from there, sorted by name folder by folder."""
        opened = [self._listed(root, "", [])]  # from the root inwards, however deep folders are nested
        while opened:
            entries, place, ignores = opened[-1]
            entry = next(entries, None)
            if entry is None:
                opened.pop()
                continue
            name = f"{place}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            shown = f"{name}/" if is_folder else name
            if entry.name.startswith("."):
                self.skipped["hidden"] += 1
            elif exclude.match_file(shown) or _ignored(shown, ignores):
                self.skipped["ignored"] += 1
            elif is_folder:
                opened.append(self._listed(Path(entry.path), shown, ignores))
            elif _is_file(entry) and self._stays_inside(Path(entry.path)):
                yield Path(entry.path), name
            else:  # links to folders too: what they lead to inside the root is read in its own place
                self.skipped["links and special files"] += 1

    def _listed(self, folder: Path, place: str, ignores: _Ignores) -> tuple[Iterator[os.DirEntry[str]], str, _Ignores]:
        """What is in `folder`, whose path from the root is `place`, and what is ignored there; or nothing."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            if self.spec.gitignore and any(entry.name == ".gitignore" and _is_file(entry) for entry in entries):
                lines = (folder / ".gitignore").read_text("utf-8", "replace").splitlines()
                ignores = [(place, _patterns(lines)), *ignores]
        except OSError as error:
            self._unreadable.append(error)
            return iter(()), place, ignores
        return iter(entries), place, ignores

    def _stays_inside(self, path: Path) -> bool:
        root = Path(self.spec.root).expanduser()
        try:
            return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())
        except (OSError, RuntimeError):  # a link that leads to itself
            return False

    def _source(self, path: Path, name: str, access: tuple[str, ...] | None) -> Source:
        from rag.load.base import Source

        status = _status(path)
        meta: dict[str, Scalar] = {"path": name, "suffix": path.suffix.lower()}
        if status is not None and (modified := _modified(status)):
            meta["modified"] = modified
        return Source(
            id=self.spec.prefix + name,
            uri=path.as_posix(),
            name=path.name,
            read=partial(self._read, path),
            stamp="" if status is None else f"{status.st_size}-{status.st_mtime_ns}",
            meta=meta,
            access=access,
        )

    def _read(self, path: Path) -> bytes:
        try:
            if path != Path(self.spec.root).expanduser() and not self._stays_inside(path):
                raise SourceError("it has become a link out of the folder", source=path.as_posix())
            with open(path, "rb", opener=_opened) as file:
                status = os.fstat(file.fileno())
                limit = int(self.spec.max_megabytes * 1e6)
                if not stat.S_ISREG(status.st_mode):
                    raise SourceError("it is not a regular file", source=path.as_posix())
                if status.st_size > limit:
                    raise SourceError(
                        f"it has {status.st_size / 1e6:,.1f} MB, more than the limit of {self.spec.max_megabytes:g} MB",
                        source=path.as_posix(),
                        hint="raise max_megabytes of the connector and of ingest.parse",
                    )
                return file.read(limit)
        except OSError as error:
            raise SourceError(f"it cannot be read: {error.strerror}", source=path.as_posix()) from error


def _patterns(lines: Iterable[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # here, since a pipeline that is only checked reads no files

    return GitIgnoreSpec.from_lines(lines)


def _opened(path: str, flags: int) -> int:
    """Without waiting for what may never come, as from a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file or leads to one; a link that leads to itself does not."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _status(path: Path) -> os.stat_result | None:
    """``None`` for a file that went away after it was listed: reading it says so."""
    try:
        return path.stat()
    except OSError:
        return None


def _modified(status: os.stat_result) -> str:
    """When the file changed; empty where its file system gives a time that no calendar has."""
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return ""


def _ignored(name: str, ignores: _Ignores) -> bool:
    """As git decides: the deepest .gitignore that says anything about the name."""
    for base, spec in ignores:
        decided = spec.check_file(name.removeprefix(base)).include
        if decided is not None:
            return decided
    return False


def _holds_text(path: Path) -> bool:
    """Whether a file of unknown suffix looks like text; one that cannot be opened is listed, to be reported."""
    try:
        with path.open("rb") as file:
            head = file.read(_SNIFFED_BYTES)
    except OSError:
        return True
    return not is_binary(head)


def _access_rules(path: Path) -> list[tuple[GitIgnoreSpec, tuple[str, ...]]]:
    """The rules of an access file, in its order.

    Raises:
        ConfigError: it is not a mapping of patterns to lists of principals.
    """
    if not path.is_file():
        return []
    try:
        rules = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"it is not valid YAML: {error}", where=str(path)) from error
    if not isinstance(rules, dict):
        raise ConfigError("expected a mapping of patterns to lists of principals", where=str(path))
    found = []
    for pattern, principals in rules.items():
        if not isinstance(principals, list) or not all(isinstance(principal, str) for principal in principals):
            raise ConfigError(f"{pattern}: expected a list of principals, each a text", where=str(path))
        found.append((_patterns([str(pattern)]), tuple(principals)))
    return found
