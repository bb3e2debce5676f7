"""Keep the sentences nearest to the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Budget, Selection, near
from rag.compress.nearness import chunk_nearness, sentence_vectors
from rag.compress.passages import Sentence
from rag.types import Chunk, Query

if TYPE_CHECKING:
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
        vectors = sentence_vectors([sentence.text for sentence in sentences], embedder)
        of_chunk = np.array([sentence.chunk for sentence in sentences])
        nearness = chunk_nearness(question, chunks, reader, embedder)
        scores = vectors @ question + self.document_weight * nearness[of_chunk]
        redundant = near(vectors, cosine=self.duplicate_cosine)
        return self.budget.select(scores, sentences, chunks, embedder.tokenizer, redundant=redundant)
