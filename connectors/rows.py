"""Rows of a JSONL or CSV file, each a document."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.decode import clean
from rag.load.specs import ConnectorSpec
from rag.types import Document, Layout, Part, Scalar

if TYPE_CHECKING:
    from rag.resources import Resources

MetaType: TypeAlias = Literal["str", "int", "float", "bool"]
Row: TypeAlias = Mapping[str, object]

_IDS = ("_id", "id")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class RowsSpec(ConnectorSpec):
    """Rows of a JSON lines or CSV file. A BEIR ``corpus.jsonl`` needs nothing but its path.

    A bad row is an error of that row, named by file and line; the others go on.
    """

    use: Literal["rows"] = "rows"
    path: str
    """The file; its suffix says what it is: .jsonl, .ndjson, .csv or .tsv."""
    id: str = ""
    """Field with the document's id. Empty: ``_id`` or ``id`` where a row has it, else file name and line."""
    title: str = "title"
    """Field with the title: the first line of the text where a row has one, and metadata."""
    text: tuple[str, ...] = Field(("text",), min_length=1)
    """Fields that make the text, one below the other."""
    meta: dict[str, MetaType] = Field(default_factory=dict)
    """Fields kept as metadata, with their types; a value that is not of its type is an error of the row."""
    access: str | None = None
    """Field with the principals who may see the row: a list, or a text with commas between them."""
    encoding: str = "utf-8"
    """Encoding of the file."""
    max_megabytes_per_row: float = Field(10, gt=0)
    """Longest line that is read."""

    def build(self, resources: Resources) -> RowsConnector:
        return RowsConnector(self)


class RowsConnector:
    """Reads row by row; the file is never in memory as a whole."""

    def __init__(self, spec: RowsSpec) -> None:
        self.spec = spec

    def load(self) -> Iterator[Source]:
        """Raises `SourceError` when the file cannot be opened or is of another kind."""
        path = Path(self.spec.path).expanduser()
        suffix = path.suffix.lower()
        if suffix not in (".jsonl", ".ndjson", ".csv", ".tsv"):
            raise SourceError("expected a .jsonl, .ndjson, .csv or .tsv file", source=str(path))
        try:
            with path.open("rb") as file:
                rows = self._json_rows(file, path) if suffix in (".jsonl", ".ndjson") else self._csv_rows(path)
                for line, row in rows:
                    yield self._source(path, line, row)
        except (OSError, LookupError) as error:  # LookupError: no such encoding
            raise SourceError(f"it cannot be read: {error}", source=str(path)) from error

    def _json_rows(self, file: IO[bytes], path: Path) -> Iterator[tuple[int, Row | SourceError]]:
        limit = int(self.spec.max_megabytes_per_row * 1e6)
        number = 0
        while raw := file.readline(limit + 1):
            number += 1
            if len(raw) > limit:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(limit)
                yield number, _bad(path, number, f"the row is longer than {self.spec.max_megabytes_per_row:g} MB")
                continue
            try:
                row = (
                    json.loads(raw.decode("utf-8-sig" if number == 1 else self.spec.encoding)) if raw.strip() else None
                )
            except (ValueError, RecursionError) as error:
                yield number, _bad(path, number, f"it is not valid JSON: {error}")
                continue
            if isinstance(row, dict):
                yield number, row
            elif row is not None:
                yield number, _bad(path, number, f"expected a JSON object, got {type(row).__name__}")

    def _csv_rows(self, path: Path) -> Iterator[tuple[int, Row | SourceError]]:
        encoding = "utf-8-sig" if self.spec.encoding.lower() in ("utf-8", "utf8") else self.spec.encoding
        # Bytes that are no text become lone surrogates, so that only their own row is refused.
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            csv.field_size_limit(int(self.spec.max_megabytes_per_row * 1e6))
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            columns = len(reader.fieldnames or ())  # reads the first line
            while True:
                line = reader.line_num + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield line, _bad(path, line, f"it is not valid CSV: {error}")
                    continue
                if None in row or None in row.values():
                    yield line, _bad(path, line, f"expected {columns} fields as in the first line")
                else:
                    yield line, dict(row)

    def _source(self, path: Path, line: int, row: Row | SourceError) -> Source:
        where = f"{path.as_posix()}:{line}"
        given = "" if isinstance(row, SourceError) else _identifier(row, self.spec.id)
        identifier = given or f"{path.name}:{line}"
        read: Callable[[], Document]
        if isinstance(row, SourceError):
            read, stamp, access = partial(_fail, row), "", None
        else:
            content = json.dumps(row, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
            stamp = blake2b(content, digest_size=16).hexdigest()
            try:
                access = _principals(row, self.spec.access)
                read = partial(self._document, row, identifier, where, access)
            except ValueError as error:
                read, access = partial(_fail, SourceError(str(error), source=where)), ()
        return Source(id=identifier, uri=where, name=path.name, read=read, stamp=stamp, access=access)

    def _document(self, row: Row, identifier: str, where: str, access: tuple[str, ...] | None) -> Document:
        try:
            title = " ".join(_text(row.get(self.spec.title, ""), self.spec.title).split())
            missing = [field for field in self.spec.text if field not in row]
            if missing:
                raise ValueError(f"no field {missing[0]!r}; the row has {', '.join(sorted(map(str, row)))}")
            body = "\n".join(filter(None, (_text(row[field], field) for field in self.spec.text)))
            meta = {name: _typed(row.get(name), kind, name) for name, kind in self.spec.meta.items()}
        except ValueError as error:
            raise SourceError(str(error), source=where) from error
        if not body.strip() and not title:
            raise SourceError("there is no text in the row", source=where)
        heading = (Part("heading", 0, len(title), title, 1),) if title else ()
        return Document(
            id=identifier,
            text=f"{title}\n{body}" if title else body,
            source=where,
            meta={"title": title, **meta} if title else meta,
            access=access,
            layout=Layout(parts=heading),
        )


def _bad(path: Path, line: int, what: str) -> SourceError:
    return SourceError(what, source=f"{path.as_posix()}:{line}")


def _fail(error: SourceError) -> Document:
    raise error


def _identifier(row: Row, field: str) -> str:
    value = row.get(field) if field else next((row[name] for name in _IDS if name in row), None)
    return str(value) if isinstance(value, str | int) and str(value) else ""


def _principals(row: Row, field: str | None) -> tuple[str, ...] | None:
    """Raises `ValueError` when the field is missing or holds something else: such a row is not read at all."""
    if field is None:
        return None
    value = row.get(field)
    if isinstance(value, str):
        return tuple(filter(None, (name.strip() for name in value.split(","))))
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError(f"{field}: expected a list of principals, got {value!r}")


def _text(value: object, field: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{field}: it is not text in the file's encoding")
        return clean(value)
    if isinstance(value, bool | int | float):
        return str(value)
    raise ValueError(f"{field}: expected text, got {type(value).__name__}")


def _typed(value: object, kind: MetaType, field: str) -> Scalar:
    """The value as `kind`; ``None`` where it is missing or empty.

    >>> _typed("3", "int", "year"), _typed("", "int", "year"), _typed("no", "bool", "open")
    (3, None, False)
    """
    if value is None or value == "":
        return None
    numeric = isinstance(value, str | int | float) and not isinstance(value, bool)
    try:
        if kind == "bool":
            return _TRUTHS[str(value).strip().lower()]
        if kind == "int" and numeric and float(str(value)).is_integer():
            return int(float(str(value))) if isinstance(value, float) else int(str(value))
        if kind == "float" and numeric:
            return float(str(value))
        if kind == "str" and isinstance(value, str | int | float):
            return clean(str(value))
    except (ValueError, KeyError, OverflowError):
        pass  # not of its type: refused below, in one place
    raise ValueError(f"{field}: expected {kind}, got {value!r}")
