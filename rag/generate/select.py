"""How well each sentence of the evidence answers a question.

A sentence scores ``nearness + .5 coverage + .3 so far + .3 coverage of its passage + .2 expected - .02 rank``.
Nearness is its cosine with the question, on a scale where 0 is what even the far chunks of the index have, so that it
means the same for encoders whose cosines are all high. Coverage is the share of the question's words, rare ones
counting more, the headings over it included; so far: together with all that its passage says before it, since "They
vest over four years." answers when options vest only after "Options are granted yearly." Expected: it has what the
question asks for, such as a number (`rag.generate.expected`). Without vectors, coverage stands for nearness.

The weights were set on SQuAD 2, HotpotQA, XQuAD in English and the chunking set together, and looked at on XQuAD in
Russian, CMRC 2018, 2WikiMultihopQA, MultiHop-RAG and PubMedQA; around these values the results move by a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.generate.expected import expected_by, has
from rag.generate.quotes import Quote, quotes
from rag.types import Prompt

if TYPE_CHECKING:
    from rag.embed.base import Embedder
    from rag.generate.terms import QuestionTerms
    from rag.index.base import DenseIndex
    from rag.index.reader import Reader

COMPARED = 12
"""How many sentences are embedded: the best by words alone. That is most of what an answer costs, and embedding 24 of
them, or all (about 60), finds no more answers."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A sentence that may be quoted, and what speaks for it.

    Attributes:
        terms: of the question, in it and in the headings over it.
        so_far: coverage of it and of what its passage says before it.
        expected: it has what the question asks for.
        rank: of its evidence by score, from 0.
        vector: (d,) float32, unit length; ``None`` where the index has no vectors.
        also_in: numbers of other evidence that says the same.
    """

    quote: Quote
    terms: frozenset[str]
    coverage: float
    so_far: float
    passage_coverage: float
    expected: bool
    rank: int
    nearness: float
    vector: NDArray[np.float32] | None = None
    also_in: tuple[int, ...] = ()

    @property
    def by_words(self) -> float:
        passage = 0.3 * (self.so_far + self.passage_coverage)
        return 0.5 * self.coverage + passage + 0.2 * self.expected - 0.02 * self.rank

    @property
    def score(self) -> float:
        return self.nearness + self.by_words


def by_words(prompt: Prompt, terms: QuestionTerms, reader: Reader) -> list[Candidate]:
    """The sentences of the evidence that have most of the question's words, at most `COMPARED`, in reading order.

    Headings and questions are left out, unless there is nothing else.
    """
    ranks = sorted(range(len(prompt.evidence)), key=lambda at: (-prompt.evidence[at].score, at))
    kind = expected_by(prompt.question)
    found: list[Candidate] = []
    for rank, at in enumerate(ranks):
        evidence = prompt.evidence[at]
        passage = terms.coverage(" ".join((*evidence.location.headings, evidence.text)))
        document = reader.document(evidence.span.document_id)
        before: frozenset[str] = frozenset()
        for quote in quotes(at + 1, evidence, document.layout.parts, whole=document.text):
            own = terms.found_in(f"{quote.lead} {quote.text}")
            before |= own
            coverage = terms.share(own)
            expected = kind is not None and has(kind, quote.text, question=prompt.question)
            found.append(Candidate(quote, own, coverage, terms.share(before), passage, expected, rank, coverage))
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
