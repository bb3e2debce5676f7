"""Keep the sentences that several signs say are needed: meaning, words, place, and what other sentences name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Budget, Scores, Selection, near
from rag.compress.nearness import chunk_nearness, sentence_vectors
from rag.compress.passages import Sentence
from rag.compress.terms import Terms, analyzer_of
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources

BRIDGES = 5
"""How many of the best sentences may name where the answer goes on."""

UNREAD = 0.8
"""How near a sentence that is not embedded is taken to be, as a share of its chunk's nearness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each sign counts. Where `nearness` and `chunk` are 0, not even the question is embedded."""

    nearness: float = 1.0
    chunk: float = 0.3
    words: float = 0.5
    lead: float = 0.3
    rank: float = 0.1
    bridge: float = 0.4


class HybridSentences:
    """Scores sentences by a weighted sum of six signs; the best fill `budget`. Nothing is trained.

    - nearness: the cosine of the question and the sentence under its heading, for the `embed` best sentences by
      the other signs; the others are taken to be nearly as near as their chunk;
    - chunk: the cosine of the question and the chunk;
    - words: BM25 of the question and the sentence, as a share of the best sentence's;
    - lead: 1 for the sentence under a heading, 1/2 for the second, 1/3 ...: there a text says what it is about;
    - rank: 1 for the sentences of the first chunk, 1/2 for those of the second, 1/3 ...;
    - bridge: the share of the words of the sentence's heading, those of the question left out, that one of the
      best sentences of another document has. "Counterparts is an album by Rush." leads to what stands under
      "Rush (band)", which the question about the album does not name.

    The best sentences for bridge are those by the other signs. Without headings lead and bridge are 0. What is nearer
    than `duplicate_cosine` to a sentence already taken is left out, where both were embedded.

    The vectors of chunks come from the index, so with `embed` 0 only the question is embedded; what the vectors of all
    sentences would add is there with the best 24, and is little (docs/compression.md).
    """

    def __init__(
        self,
        resources: Resources,
        *,
        budget: Budget,
        weights: Weights = Weights(),
        embed: int = 0,
        duplicate_cosine: float = 0.9,
    ) -> None:
        self.resources = resources
        self.budget = budget
        self.weights = weights
        self.embed = embed
        self.duplicate_cosine = duplicate_cosine

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        weights, embedder = self.weights, self.resources.embedder
        terms = Terms(query.text, sentences, analyzer_of(reader))
        of_chunk = np.array([sentence.chunk for sentence in sentences])
        words = terms.bm25()
        scores = weights.words * words / (words.max() or 1.0) + weights.lead * lead(sentences)
        scores += weights.rank / (1 + of_chunk)
        redundant = None
        if weights.nearness or weights.chunk:
            question = embedder.embed_queries([query.text])[0]
            of_chunks = chunk_nearness(question, chunks, reader, embedder)[of_chunk]
            nearness = UNREAD * of_chunks
            scores += weights.chunk * of_chunks
            if self.embed:
                first = scores + weights.nearness * nearness
                best = _best(first + weights.bridge * bridge(first, sentences, terms), self.embed)
                vectors = np.zeros((len(sentences), len(question)), np.float32)  # what is not embedded is near nothing
                vectors[best] = sentence_vectors([sentences[at].in_context for at in best], embedder)
                nearness[best] = vectors[best] @ question
                redundant = near(vectors, cosine=self.duplicate_cosine)
            scores += weights.nearness * nearness
        scores += weights.bridge * bridge(scores, sentences, terms)
        return self.budget.select(scores, sentences, chunks, embedder.tokenizer, redundant=redundant)


def lead(sentences: Sequence[Sentence]) -> Scores:
    """(n,) 1 / (1 + the number of sentences since the heading); 0 where none stands over the sentence."""
    return np.array([0.0 if sentence.place is None else 1 / (1 + sentence.place) for sentence in sentences])


def bridge(scores: Scores, sentences: Sequence[Sentence], terms: Terms) -> Scores:
    """(n,) how much of its heading the best sentences of other documents name, 0 to 1; the question's words left out.

    What is left out still counts in the whole: a heading that the question names but for one word leads nowhere new.
    """
    best = _best(scores, BRIDGES)
    shares: dict[tuple[str, str], float] = {}
    for at, sentence in enumerate(sentences):
        key = sentence.span.document_id, sentence.heading
        if key in shares or not sentence.heading:
            continue
        heading = terms.headings[at]
        others = [terms.sentences[other] for other in best if sentences[other].span.document_id != key[0]]
        named = [terms.weight((heading & other.keys()) - terms.question.keys()) for other in others]
        shares[key] = max(named, default=0.0) / (terms.weight(heading) or 1.0)
    return np.array([shares.get((sentence.span.document_id, sentence.heading), 0.0) for sentence in sentences])


def _best(scores: Scores, count: int) -> list[int]:
    """The positions of the `count` best, equal scores in their order."""
    best: list[int] = np.argsort(-scores, kind="stable")[:count].tolist()
    return best
