"""Keep the sentences that have most of the question's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.compress.budget import Budget, Selection
from rag.compress.passages import Sentence
from rag.compress.terms import Terms, analyzer_of
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources


class WordedSentences:
    """Scores sentences by BM25, each a document of its own among those of the ranked chunks; the best fill `budget`.

    No model is run. The formula is that of the sparse index (`rag.index.bm25`, variant ``lucene``), with its defaults;
    document frequencies are among the ranked chunks.
    """

    def __init__(self, resources: Resources, *, budget: Budget, k1: float = 1.5, b: float = 0.75) -> None:
        self.resources = resources
        self.budget = budget
        self.k1 = k1
        self.b = b

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        scores = Terms(query.text, sentences, analyzer_of(reader)).bm25(k1=self.k1, b=self.b)
        return self.budget.select(scores, sentences, chunks, self.resources.embedder.tokenizer)
