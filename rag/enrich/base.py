"""The enrich stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Chunk, Document


class Enricher(Protocol):
    """Adds `context` and `meta` to chunks; never changes their spans or texts. Same length and order as given."""

    def enrich(self, chunks: Sequence[Chunk], document: Document) -> Sequence[Chunk]: ...
