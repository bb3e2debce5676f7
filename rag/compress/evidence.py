"""Evidence from a stretch of a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.types import Chunk, Evidence, Span

if TYPE_CHECKING:
    from rag.index.reader import Reader


def evidence(reader: Reader, chunk: Chunk, span: Span, *, score: float) -> Evidence:
    """The stretch `span` of `chunk` as evidence, with its source and its place in it looked up."""
    document = reader.document(span.document_id)
    return Evidence(
        span=span,
        text=document.text[span.start : span.end],
        score=score,
        chunk_id=chunk.id,
        source=document.source or document.id,
        location=document.locate(span.start, span.end),
        access=document.access,
    )
