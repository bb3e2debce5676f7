"""Keep the sentences that several signs say are needed: meaning, words, place, and what other sentences name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Budget, Scores, Selection, near
from rag.compress.passages import Sentence
from rag.compress.sentences import chunk_vectors
from rag.compress.terms import Terms, analyzer_of
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources

BRIDGES = 3
"""How many of the best sentences may name where the answer goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each sign counts beside the cosine of question and sentence, which counts 1."""

    chunk: float = 0.3
    coverage: float = 0.5
    lead: float = 0.2
    bridge: float = 0.4


class SignedSentences:
    """Scores sentences by a weighted sum of five signs; the best fill `budget`. Nothing is trained.

    - nearness: the cosine of the question and the sentence under its heading;
    - chunk: the cosine of the question and the chunk;
    - coverage: the share of the question's words that the sentence has, rare ones counting more;
    - lead: 1 for the sentence under a heading, 1/2 for the second, 1/3 ...: there a text says what it is about;
    - bridge: the share of the words of the sentence's heading, those of the question left out, that one of the
      best sentences of another document has. "Counterparts is an album by Rush." leads to what stands under
      "Rush (band)", which the question about the album does not name.

    The best sentences are those by the other four signs. Without headings the last two signs are 0. What is nearer than
    `duplicate_cosine` to a sentence already taken is left out.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        budget: Budget,
        weights: Weights = Weights(),
        duplicate_cosine: float = 0.9,
    ) -> None:
        self.resources = resources
        self.budget = budget
        self.weights = weights
        self.duplicate_cosine = duplicate_cosine

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        embedder, weights = self.resources.embedder, self.weights
        question = embedder.embed_queries([query.text])[0]
        vectors = embedder.embed_documents([sentence.in_context for sentence in sentences])
        of_chunk = np.array([sentence.chunk for sentence in sentences])
        nearness = chunk_vectors(chunks, reader, self.resources) @ question
        terms = Terms(query.text, sentences, analyzer_of(reader))
        scores = (vectors @ question + weights.chunk * nearness[of_chunk]).astype(np.float64)
        scores += weights.coverage * terms.coverage() + weights.lead * lead(sentences)
        scores += weights.bridge * bridge(scores, sentences, terms)
        redundant = near(vectors, cosine=self.duplicate_cosine)
        return self.budget.select(scores, sentences, chunks, embedder.tokenizer, redundant=redundant)


def lead(sentences: Sequence[Sentence]) -> Scores:
    """(n,) 1 / (1 + the number of sentences since the heading); 0 where none stands over the sentence."""
    return np.array([0.0 if sentence.place is None else 1 / (1 + sentence.place) for sentence in sentences])


def bridge(scores: Scores, sentences: Sequence[Sentence], terms: Terms) -> Scores:
    """(n,) how much of its heading the best sentences of other documents name, 0 to 1; the question's words left out.

    What is left out still counts in the whole: a heading that the question names but for one word leads nowhere new.
    """
    best = np.argsort(-scores, kind="stable")[:BRIDGES].tolist()
    shares: dict[tuple[str, str], float] = {}
    for at, sentence in enumerate(sentences):
        key = sentence.span.document_id, sentence.heading
        if key in shares:
            continue
        heading = terms.headings[at]
        others = [terms.sentences[other] for other in best if sentences[other].span.document_id != key[0]]
        named = [terms.weight((heading & other.keys()) - terms.question.keys()) for other in others]
        shares[key] = max(named, default=0.0) / terms.weight(heading) if heading else 0.0
    return np.array([shares[sentence.span.document_id, sentence.heading] for sentence in sentences])
