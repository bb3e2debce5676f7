"""The load stage: connectors find sources, parsers read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rag.types import Document, Layout, Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that can be read: a file, a page, a row.

    `id` is stable across runs and becomes the document's id; `uri` is what a person opens. `stamp` changes whenever
    the content does (size and modification time, an ETag, a hash), so that an unchanged source is not read again; empty
    means unknown. `read` gives the bytes, for a parser chosen by `name` and content, or a finished document; it raises
    `SourceError` when it cannot.
    """

    id: str
    uri: str
    name: str
    read: Callable[[], bytes | Document]
    stamp: str = ""
    media_type: str = ""
    meta: Meta = field(default_factory=dict)
    access: tuple[str, ...] | None = None


class Connector(Protocol):
    """Finds sources. Lists them lazily and in a fixed order; reads nothing it is not asked for."""

    def load(self) -> Iterator[Source]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a parser made of the bytes. `text` is final; `layout` offsets point into it."""

    text: str
    layout: Layout = field(default_factory=Layout)
    meta: Meta = field(default_factory=dict)


class Parser(Protocol):
    """Reads one format. Raises `ValueError` with a clear sentence when the bytes cannot be read."""

    def parse(self, data: bytes, name: str) -> Parsed: ...


@runtime_checkable
class Countable(Protocol):
    """A connector that can say how many sources it will list without reading them, for progress bars."""

    def count(self) -> int: ...


@runtime_checkable
class Selective(Protocol):
    """A connector that says how many of what it found at its last listing it left out, by reason: ``.zip: 2``."""

    @property
    def skipped(self) -> Mapping[str, int]: ...
