"""Keep the sentences that a trained head finds needed: one weight for each sign that speaks for a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
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
SIGNS = ("chunk", "words", "lead", "rank", "bridge", "covered", "named", "before", "after", "length")
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

    - chunk, words, lead, rank and bridge are those of `hybrid`;
    - covered: the share of the question's terms that the sentence has, each by how few chunks have it;
    - named: the share of those that the sentence lacks and the heading over it has;
    - before and after: words of the sentences beside it in its chunk;
    - length: the logarithm of the characters.
    """
    weights, embedder = Weights(), resources.embedder
    terms = Terms(query.text, sentences, analyzer_of(reader))
    of_chunk = np.array([sentence.chunk for sentence in sentences])
    words = terms.bm25()
    words = words / (words.max() or 1.0)
    question = embedder.embed_queries([query.text])[0]
    nearness = chunk_nearness(question, chunks, reader, embedder)[of_chunk]
    found = {"chunk": nearness, "words": words, "lead": lead(sentences), "rank": 1 / (1 + of_chunk)}
    untrained = weights.words * words + weights.lead * found["lead"] + weights.rank * found["rank"]
    untrained += (weights.chunk + weights.nearness * UNREAD) * nearness
    found["bridge"] = bridge(untrained, sentences, terms)
    untrained += weights.bridge * found["bridge"]
    of_question = terms.weight(terms.question) or 1.0
    asked = [terms.question.keys() & own.keys() for own in terms.sentences]
    above = [
        (terms.question.keys() & heading) - own.keys()
        for own, heading in zip(terms.sentences, terms.headings, strict=True)
    ]
    found["covered"] = np.array([terms.weight(each) for each in asked]) / of_question
    found["named"] = np.array([terms.weight(each) for each in above]) / of_question
    found |= beside(words, of_chunk.tolist())
    found["length"] = np.log1p([len(sentence.text) for sentence in sentences])
    return untrained, {name: standardised(found[name]) for name in SIGNS}


def beside(values: Scores, chunks: Sequence[int]) -> dict[str, Scores]:
    """Of each sentence the values of those before and after it in the same chunk; 0 where there is none.

    >>> {name: each.tolist() for name, each in beside(np.array([1.0, 2.0, 3.0]), [0, 0, 1]).items()}
    {'before': [0.0, 1.0, 0.0], 'after': [2.0, 0.0, 0.0]}
    """
    before, after = np.zeros(len(values)), np.zeros(len(values))
    for one, other in pairwise(range(len(values))):
        if chunks[one] == chunks[other]:
            before[other], after[one] = values[one], values[other]
    return {"before": before, "after": after}
