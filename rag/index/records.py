"""What an index directory tells about itself and its documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rag.types import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an index was made of and how far it is. `dense` is the embedder's identity, ``None`` without vectors."""

    schema: int
    generation: int
    uuid: str
    written_by: str
    dense: Mapping[str, Scalar] | None
    analyzer: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What tells whether a document must be read again (`stamp`) or indexed again (`content_hash`, `fingerprint`)."""

    stamp: str
    content_hash: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSummary:
    """A document without its text; `chunks` and `characters` count what was indexed."""

    id: str
    source: str
    chunks: int
    characters: int
    content_hash: str
    access: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of one generation; `*_bytes` are sizes on disk, `dead` counts rows that wait for compaction."""

    generation: int
    documents: int
    chunks: int
    dead: int
    segments: int
    characters: int
    vector_bytes: int
    database_bytes: int
    dense: str | None
    analyzer: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something `rag doctor` reports: what kind, where, and the command that mends it (empty: nothing to do)."""

    kind: Literal[
        "truncated-segment",
        "damaged-segment",
        "damaged-counts",
        "damaged-database",
        "orphan-file",
        "orphan-vectors",
        "empty-chunk",
        "duplicate-chunk",
        "near-duplicate-chunk",
        "wrong-span",
        "unusable-vector",
        "missing-terms",
        "rebuilt",
    ]
    where: str
    message: str
    hint: str = ""
