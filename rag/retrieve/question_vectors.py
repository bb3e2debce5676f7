"""The vectors that dense retrieval searches with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Embedder, Tokenizer, Vectors
from rag.types import Query


def question_vectors(queries: Sequence[Query], embedder: Embedder) -> Vectors:
    """(n, d) float32 of unit length: each query's vector, or its mean with those of the passages imagined for it.

    A passage is embedded as a document, cut at the encoder's window.
    """
    vectors = embedder.embed_queries([query.text for query in queries])
    passages = list(dict.fromkeys(passage for query in queries for passage in query.passages))
    if not passages:
        return vectors
    cut = [_fitting(passage, embedder.tokenizer) for passage in passages]
    known = dict(zip(passages, embedder.embed_documents(cut), strict=True))
    means = [
        np.mean([vector, *(known[passage] for passage in query.passages)], axis=0, dtype=np.float64)
        for query, vector in zip(queries, vectors, strict=True)
    ]
    return unit(np.stack(means), otherwise=vectors)


def unit(vectors: NDArray[np.float64], *, otherwise: Vectors) -> Vectors:
    """Rows scaled to unit length, so that scores stay cosines; a row of zeros has no direction and is `otherwise`'s."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=otherwise.astype(np.float64), where=lengths > 0)
    return np.ascontiguousarray(scaled, np.float32)


def _fitting(passage: str, tokenizer: Tokenizer) -> str:
    offsets = tokenizer.offsets(passage)
    return passage if len(offsets) <= tokenizer.max_tokens else passage[: offsets[tokenizer.max_tokens - 1][1]]
