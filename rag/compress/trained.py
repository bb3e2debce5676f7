"""Keep the sentences that a trained head finds needed: one weight for each sign that speaks for a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Budget, Scores, Selection
from rag.compress.hybrid import UNREAD, Weights, bridge, lead
from rag.compress.nearness import chunk_nearness
from rag.compress.passages import Sentence
from rag.compress.terms import Terms, analyzer_of
from rag.models.linear_head import LinearHead, standardised
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources

KIND = "compression head"
SIGNS = ("covered", "named")
"""The signs of a sentence, in the order in which heads keep them."""


class TrainedSentences:
    """Scores sentences as `hybrid` does without embedding them, ``+ Σ weight * sign``; the best fill `budget`.

    The weights are those of a file that `rag train compressor` made; without weights the scores are those of `hybrid`.

    Raises (at first use):
        ModelNotFoundError, ModelError: as `LinearHead.load`.
    """

    def __init__(self, resources: Resources, *, head: Path, budget: Budget) -> None:
        self.resources = resources
        self.head = head
        self.budget = budget

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        untrained, signs = sentence_signs(query, sentences, chunks, reader, self.resources)
        scores = self._loaded.scores(untrained, signs)
        return self.budget.select(scores, sentences, chunks, self.resources.embedder.tokenizer)

    @cached_property
    def _loaded(self) -> LinearHead:
        return LinearHead.load(self.head, kind=KIND, identity=self.resources.embedder.identity, known=SIGNS)


def sentence_signs(
    query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader, resources: Resources
) -> tuple[Scores, Mapping[str, Scores]]:
    """The score `hybrid` gives each sentence, and its signs, each of mean 0 and deviation 1 over the sentences.

    - covered: the share of the question's terms that the sentence has, each by how few chunks have it;
    - named: the share of those that the sentence lacks and the heading over it has.

    What `hybrid` weighs itself is no sign: its best weights are those of one collection (docs/training.md).
    """
    weights, embedder = Weights(), resources.embedder
    terms = Terms(query.text, sentences, analyzer_of(reader))
    of_chunk = np.array([sentence.chunk for sentence in sentences])
    words = terms.bm25()
    words = words / (words.max() or 1.0)
    question = embedder.embed_queries([query.text])[0]
    nearness = chunk_nearness(question, chunks, reader, embedder)[of_chunk]
    untrained = weights.words * words + weights.lead * lead(sentences) + weights.rank / (1 + of_chunk)
    untrained += (weights.chunk + weights.nearness * UNREAD) * nearness
    untrained += weights.bridge * bridge(untrained, sentences, terms)
    of_question = terms.weight(terms.question) or 1.0
    asked = [terms.question.keys() & own.keys() for own in terms.sentences]
    above = [
        (terms.question.keys() & heading) - own.keys()
        for own, heading in zip(terms.sentences, terms.headings, strict=True)
    ]
    shares = {
        name: np.array([terms.weight(each) for each in found]) / of_question
        for name, found in (("covered", asked), ("named", above))
    }
    return untrained, {name: standardised(values) for name, values in shares.items()}
