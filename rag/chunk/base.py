"""The chunk stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Chunk, Document


class Chunker(Protocol):
    """Cuts one document; chunks in the order of their starts, none empty, each text the document's text at its span."""

    def chunk(self, document: Document) -> Sequence[Chunk]: ...
