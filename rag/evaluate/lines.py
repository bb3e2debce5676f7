"""JSON lines with errors that name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rag.errors import ConfigError


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects of a file and where each stands (``queries.jsonl:12``); empty lines are passed over.

    Raises:
        ConfigError: the file cannot be read, or a line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ConfigError(f"it is not valid JSON: {error}", where=where) from error
                if not isinstance(row, dict):
                    raise ConfigError(f"expected a JSON object, got {type(row).__name__}", where=where)
                yield where, row
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: it cannot be read: {error}") from error


def text(row: dict[str, object], *names: str, where: str) -> str:
    """The first of the fields that the row has, as text; numbers are taken as they are written.

    Raises:
        ConfigError: it has none of them, or the field is no text.
    """
    for name in names:
        value = row.get(name)
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            return str(value)
        if value is not None:
            raise ConfigError(f"{name}: expected text, got {type(value).__name__}", where=where)
    raise ConfigError(f"no field {names[0]!r}; the row has {', '.join(sorted(row)) or 'none'}", where=where)


def asked(row: dict[str, object], *names: str, where: str) -> str:
    """The first of the fields that the row has, as a question.

    Raises:
        ConfigError: it has none of them, or the field is no text or is empty.
    """
    question = text(row, *names, where=where)
    if not question.strip():
        raise ConfigError("the question is empty", where=where)
    return question


def texts(value: object, name: str, *, where: str) -> tuple[str, ...]:
    """A text, or a list of them.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(f"{name}: expected a text or a list of texts, got {value!r:.60}", where=where)
