"""What the vector of a chunk is made of: its own text, or its document around it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from rag.embed.base import InDocument
from rag.types import Chunk, Document

if TYPE_CHECKING:
    from rag.embed.base import Embedder, Vectors

InItsDocument: TypeAlias = tuple[Chunk, Document]


def seen_of(embedder: Embedder, chunks: Sequence[InItsDocument]) -> list[str]:
    """For each chunk all that its vector depends on beside the embedder, to cache it by.

    An embedder that sees the document is given the chunk by its place in it, without context.
    """
    if not isinstance(embedder, InDocument):
        return [chunk.indexed_text for chunk, _ in chunks]
    return [f"\0in {document.content_hash} {chunk.span.start}-{chunk.span.end}" for chunk, document in chunks]


def vectors_of(embedder: Embedder, chunks: Sequence[InItsDocument]) -> Vectors:
    """(n, d) float32, in the order given, where the chunks of one document stand side by side."""
    if not isinstance(embedder, InDocument):
        return embedder.embed_documents([chunk.indexed_text for chunk, _ in chunks])
    documents = [list(group) for _, group in groupby(chunks, key=lambda one: one[1].id)]
    return embedder.embed_chunks(
        [(group[0][1].text, [(chunk.span.start, chunk.span.end) for chunk, _ in group]) for group in documents]
    )
