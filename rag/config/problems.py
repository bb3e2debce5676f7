"""Where a value came from, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rag.errors import ConfigError

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: ``("ask", "retrieve", 0, "k")``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file with line and column (from 1), or a label such as ``$RAG__ASK__FUSE__KEEP``.

    `excerpt` is the file's line. `variable` is the ``${VAR}`` that the value was filled in from.
    """

    label: str
    line: int = 0
    column: int = 0
    excerpt: str = ""
    variable: str = ""

    def __str__(self) -> str:
        return f"{self.label}:{self.line}" if self.line else self.label

    @property
    def position(self) -> str:
        return f"{self.label}:{self.line}:{self.column}" if self.line else self.label

    @property
    def in_file(self) -> bool:
        return self.line > 0


DEFAULT = Origin("default")


_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``file:line:column: path: message``."""

    origin: Origin
    path: Path
    message: str

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.origin.position, dotted(self.path), self.message) if part)
        if not self.origin.excerpt:
            return head
        start = max(0, self.origin.column - _WIDTH // 2) if len(self.origin.excerpt) > _WIDTH else 0
        excerpt = self.origin.excerpt[start : start + _WIDTH].replace("\t", " ")
        caret = " " * (self.origin.column - 1 - start) + "^"
        return f"{head}\n{self.origin.line:>5} | {excerpt}\n{'':>5} | {caret}"

    def record(self) -> dict[str, str | int | None]:
        """For JSON; `file` is what the origin is called, lines and columns are ``None`` where there is no file."""
        line, column = (self.origin.line, self.origin.column) if self.origin.in_file else (None, None)
        return {
            "file": self.origin.label,
            "line": line,
            "column": column,
            "path": dotted(self.path),
            "message": self.message,
        }

    def hidden(self) -> Problem:
        """Without the line of the file, where that holds a secret."""
        excerpt = self.origin.excerpt
        secret = holds_secret(self.path) or without_login(excerpt) != excerpt
        return replace(self, origin=replace(self.origin, excerpt="")) if secret else self


class InvalidConfigError(ConfigError):
    """A pipeline that cannot be run as it is written; `problems` holds everything that is wrong, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_in_file_order))
        super().__init__("\n".join(str(problem.hidden()) for problem in self.problems))


def _in_file_order(problem: Problem) -> tuple[bool, str, int, int]:
    origin = problem.origin
    return not origin.in_file, origin.label, origin.line, origin.column


def dotted(path: Iterable[str | int]) -> str:
    """
    >>> dotted(("ask", "retrieve", 0, "k"))
    'ask.retrieve.0.k'
    """
    # A name out of a stranger's file may hold anything, also what a terminal obeys.
    return ".".join(str(part) if part != "" and str(part).isprintable() else ascii(part) for part in path)


_SECRET = re.compile(r"(?:^|_)(?:key|password|passwd|secret|token|credentials?)$", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*@")


def holds_secret(path: Path) -> bool:
    """Whether the name of a value says that it must not be shown.

    >>> holds_secret(("ask", "generate", "api_key")), holds_secret(("ask", "generate", "api_key_env"))
    (True, False)
    """
    return any(isinstance(part, str) and names_secret(part) for part in path[-2:])


def names_secret(name: str) -> bool:
    """
    >>> names_secret("OPENAI_API_KEY"), names_secret("max_tokens")
    (True, False)
    """
    return _SECRET.search(name) is not None


def without_login(text: str) -> str:
    """
    >>> without_login("http://me:hunter2@host/v1")
    'http://me:***@host/v1'
    """
    return _LOGIN.sub(r"\1:***@", text)
