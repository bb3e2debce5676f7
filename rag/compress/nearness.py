"""How near sentences and chunks are to a question by the pipeline's embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.compress.budget import Scores
from rag.types import Chunk, Span

if TYPE_CHECKING:
    from rag.embed.base import Embedder, Tokenizer, Vectors
    from rag.index.reader import Reader


def sentence_vectors(texts: Sequence[str], embedder: Embedder) -> Vectors:
    """(n, d) unit vectors. A text longer than the encoder's window counts by its beginning."""
    return embedder.embed_documents(fitting(texts, embedder.tokenizer))


def chunk_nearness(
    question: NDArray[np.float32], chunks: Sequence[Chunk], reader: Reader, embedder: Embedder
) -> Scores:
    """(n,) the cosine of the question and each chunk, from the vectors of the index.

    A stretch that is no chunk of the index, as expanders make them, is as near as the nearest chunk it overlaps, 0
    without one. Where the index has no vectors the chunks are embedded.
    """
    if reader.dense is None:
        return (sentence_vectors([chunk.indexed_text for chunk in chunks], embedder) @ question).astype(np.float64)
    rows = _rows(chunks, reader)
    parts = [[row] if row >= 0 else _rows_in(chunk.span, reader) for row, chunk in zip(rows, chunks, strict=True)]
    cosines = reader.vectors(np.array([row for part in parts for row in part], np.int64)) @ question
    values = iter(cosines.tolist())
    return np.array([max((next(values) for _ in part), default=0.0) for part in parts])


def fitting(texts: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """Each text up to the encoder's window."""
    window = tokenizer.max_tokens
    counts = tokenizer.count(texts)
    return [
        text if count <= window else text[: tokenizer.offsets(text)[window - 1][1]]
        for text, count in zip(texts, counts, strict=True)
    ]


def _rows(chunks: Sequence[Chunk], reader: Reader) -> list[int]:
    rows: list[int] = reader.rows_of(chunks).tolist()
    return rows


def _rows_in(span: Span, reader: Reader) -> list[int]:
    """The rows of the index's chunks that `span` overlaps."""
    inside = [
        chunk
        for chunk in reader.chunks_of(span.document_id)
        if chunk.span.start < span.end and span.start < chunk.span.end
    ]
    return _rows(inside, reader)
