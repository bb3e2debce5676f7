"""Keep the sentences that a cross-encoder, reading them with the question, scores best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Budget, Selection
from rag.compress.passages import Sentence
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.models.cross_encoder import PairScorer
    from rag.resources import Resources


class CrossEncodedSentences:
    """Scores the pairs of the question and each sentence under its heading; the best fill `budget`.

    A sentence longer than the model's window is read as far as it goes. What the model gives no number for comes last,
    and is counted in the trace.
    """

    def __init__(self, resources: Resources, scorer: PairScorer, *, budget: Budget) -> None:
        self.resources = resources
        self.scorer = scorer
        self.budget = budget

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        given = self.scorer.score([(query.text, sentence.in_context) for sentence in sentences]).astype(np.float64)
        finite = np.isfinite(given)
        lowest = float(given[finite].min()) if finite.any() else 0.0
        scores = np.where(finite, given, lowest - 1)
        selection = self.budget.select(scores, sentences, chunks, self.resources.embedder.tokenizer)
        unscored = len(sentences) - int(np.count_nonzero(finite))
        notes = {**selection.notes, "unscored": unscored} if unscored else selection.notes
        return Selection(scores, selection.kept, notes)
