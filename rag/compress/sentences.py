"""Keep the sentences nearest to the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Budget, Selection, near
from rag.compress.passages import Sentence
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.embed.base import Vectors
    from rag.index.reader import Reader
    from rag.resources import Resources


class NearestSentences:
    """Scores sentences by ``cos(question, sentence) + document_weight * cos(question, chunk)``; the best fill `budget`.

    What is nearer than `duplicate_cosine` to a sentence already taken is left out.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        budget: Budget,
        document_weight: float = 0.3,
        duplicate_cosine: float = 0.9,
    ) -> None:
        self.resources = resources
        self.budget = budget
        self.document_weight = document_weight
        self.duplicate_cosine = duplicate_cosine

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        embedder = self.resources.embedder
        question = embedder.embed_queries([query.text])[0]
        vectors = embedder.embed_documents([sentence.text for sentence in sentences])
        of_chunk = np.array([sentence.chunk for sentence in sentences])
        nearness = chunk_vectors(chunks, reader, self.resources) @ question
        scores = (vectors @ question + self.document_weight * nearness[of_chunk]).astype(np.float64)
        redundant = near(vectors, cosine=self.duplicate_cosine)
        return self.budget.select(scores, sentences, chunks, embedder.tokenizer, redundant=redundant)


def chunk_vectors(chunks: Sequence[Chunk], reader: Reader, resources: Resources) -> Vectors:
    """(n, d) the vectors of chunks: those of the index, or made now where it has none.

    A stretch that an expander made is no chunk of the index: it has the mean of those it overlaps, at unit length.
    """
    rows = reader.rows_of(chunks)
    if (rows >= 0).all():
        return _indexed_vectors(chunks, reader, resources)
    made_of = [[one] if row >= 0 else _overlapping(one, reader) for one, row in zip(chunks, rows, strict=True)]
    vectors = _indexed_vectors([part for parts in made_of for part in parts], reader, resources)
    sums = np.add.reduceat(vectors, np.cumsum([0, *map(len, made_of)])[:-1])
    means: Vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return means


def _indexed_vectors(chunks: Sequence[Chunk], reader: Reader, resources: Resources) -> Vectors:
    if reader.dense is None:
        return resources.embedder.embed_documents([chunk.indexed_text for chunk in chunks])
    return reader.vectors(reader.rows_of(chunks))


def _overlapping(stretch: Chunk, reader: Reader) -> list[Chunk]:
    found = [
        chunk
        for chunk in reader.chunks_of(stretch.document_id)
        if chunk.span.start < stretch.span.end and stretch.span.start < chunk.span.end
    ]
    if not found:
        raise LookupError(f"{stretch.id}: there is no chunk of the index at its span")
    return found
