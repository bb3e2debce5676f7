"""Which sentences answer a question.

A sentence scores ``nearness + .5 coverage + .3 coverage of its passage - .02 rank`` and is trusted with a confidence of
``.6 nearness + .4 coverage of its passage``. Nearness is its cosine with the question, on a scale where 0 is what even
the far chunks of the index have, so that it means the same for encoders whose cosines are all high; coverage is the
share of the question's words, rare ones counting more, the headings over it included. Without vectors, coverage stands
for nearness.

The weights were set on SQuAD 2, XQuAD in English, HotpotQA and MultiHop-RAG together; around these values the results
move by a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.generate.quotes import Quote, quotes
from rag.types import Prompt

if TYPE_CHECKING:
    from rag.embed.base import Embedder
    from rag.generate.terms import QuestionTerms
    from rag.index.base import DenseIndex
    from rag.index.reader import Reader

COMPARED = 24
"""How many sentences are embedded: the best by words alone. Embedding all of them (about 60) finds no more answers."""

DUPLICATE_COSINE = 0.9

COMPLETES = 0.2
"""What share of the question's words, by weight, a sentence must add to be quoted for that alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A sentence that may be quoted, and what speaks for it.

    Attributes:
        rank: of its evidence by score, from 0.
        vector: (d,) float32, unit length; ``None`` where the index has no vectors.
        also_in: numbers of other evidence that says the same.
    """

    quote: Quote
    coverage: float
    passage_coverage: float
    rank: int
    nearness: float
    vector: NDArray[np.float32] | None = None
    also_in: tuple[int, ...] = ()

    @property
    def by_words(self) -> float:
        return 0.5 * self.coverage + 0.3 * self.passage_coverage - 0.02 * self.rank

    @property
    def score(self) -> float:
        return self.nearness + self.by_words

    @property
    def confidence(self) -> float:
        return 0.6 * self.nearness + 0.4 * self.passage_coverage


def by_words(prompt: Prompt, terms: QuestionTerms, reader: Reader) -> list[Candidate]:
    """The sentences of the evidence that have most of the question's words, at most `COMPARED`, in reading order.

    Headings and questions are left out, unless there is nothing else.
    """
    ranks = sorted(range(len(prompt.evidence)), key=lambda at: (-prompt.evidence[at].score, at))
    found: list[Candidate] = []
    for rank, at in enumerate(ranks):
        evidence = prompt.evidence[at]
        passage = terms.coverage(" ".join((*evidence.location.headings, evidence.text)))
        parts = reader.document(evidence.span.document_id).layout.parts
        for quote in quotes(at + 1, evidence, parts):
            coverage = terms.coverage(f"{quote.lead} {quote.text}")
            found.append(Candidate(quote, coverage, passage, rank, nearness=coverage))
    found = [each for each in found if not each.quote.fragment] or found
    best = sorted(found, key=lambda each: -each.by_words)[:COMPARED]
    return sorted(best, key=lambda each: (each.quote.evidence, each.quote.start))


def with_nearness(
    candidates: Sequence[Candidate], question: str, embedder: Embedder, index: DenseIndex
) -> list[Candidate]:
    """The candidates with vectors and their nearness to the question by these."""
    if not candidates:
        return []
    asked = embedder.embed_queries([question])
    vectors = embedder.embed_documents([each.quote.text for each in candidates])
    spread = index.search(asked, k=1, allowed=None)[0]
    floor = max(0.0, spread.mean - 2 * spread.deviation)
    near = np.clip((vectors @ asked[0] - floor) / max(1e-6, 1 - floor), 0, 1)
    return [
        replace(each, nearness=float(value), vector=vector)
        for each, value, vector in zip(candidates, near, vectors, strict=True)
    ]


def distinct(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Best first, each saying something else; one that says the same as a better one only adds its source to it."""
    kept: list[Candidate] = []
    for candidate in ranked:
        same = next((at for at, better in enumerate(kept) if _same(candidate, better)), None)
        if same is None:
            kept.append(candidate)
            continue
        better, number = kept[same], candidate.quote.evidence
        if candidate.quote.shown == better.quote.shown and number not in (better.quote.evidence, *better.also_in):
            kept[same] = replace(better, also_in=(*better.also_in, number))
    return kept


def completed(
    chosen: Sequence[Candidate], ranked: Sequence[Candidate], terms: QuestionTerms, *, most: int
) -> list[Candidate]:
    """`chosen` and, up to `most`, what the best one's passage goes on to say with words of the question it lacks.

    "Options are granted yearly. They vest over four years." answers when options vest with its second sentence, which
    alone does not say what it is about.
    """
    kept = list(chosen)
    best = chosen[0].quote
    for candidate in ranked:
        quote = candidate.quote
        if len(kept) >= most or candidate in kept or quote.evidence != best.evidence or quote.start < best.start:
            continue
        said = " ".join(each.quote.text for each in kept)
        if terms.coverage(f"{said} {quote.text}") - terms.coverage(said) >= COMPLETES:
            kept.append(candidate)
    return kept


def _same(one: Candidate, other: Candidate) -> bool:
    if one.quote.shown == other.quote.shown:
        return True
    if one.vector is None or other.vector is None:
        return False
    return float(one.vector @ other.vector) > DUPLICATE_COSINE
