"""Document expansion: the questions a chunk answers, for the sparse side to find it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Embedder
from rag.enrich.asking import Asking, Question, UnusableReplyError, the_object
from rag.enrich.base import Batched, Cut
from rag.enrich.metadata import framed
from rag.enrich.schema import SEPARATOR, listed
from rag.enrich.tally import Cost, EnrichmentTally
from rag.models.template import Template
from rag.types import Chunk

FIELDS = frozenset({"title", "text", "count"})
"""What the `doc2query` template may use."""


class Scorer(Protocol):
    """Says how well a question fits a text; a cross-encoder (`rag.models.cross_encoder`) is one."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """(n,) float32, higher is nearer, in the order of `pairs` of question and text."""
        ...


class EmbedderScorer:
    """The cosine of a question's query vector and a text's document vector."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        texts = list(dict.fromkeys(text for _, text in pairs))
        at = {text: row for row, text in enumerate(texts)}
        questions = self.embedder.embed_queries([question for question, _ in pairs])
        documents = self.embedder.embed_documents(texts)[[at[text] for _, text in pairs]]
        cosines: NDArray[np.float32] = (questions * documents).sum(axis=1)
        return cosines


class Doc2Query(Batched):
    """Asks a language model for `count` questions a chunk answers and keeps the share `keep` that fits it best.

    They go into the chunk's metadata `field`, which a sparse index reads with the text (its option `fields`); vectors
    and evidence never see them. How well a question fits is said by `scorer`; those below `least` are dropped too. The
    best are chosen chunk by chunk, so that what a chunk is indexed by depends on nothing but itself; the paper's
    threshold is one for the whole collection. A chunk without a usable reply stays as it was.

    doc2query, Nogueira, Yang, Lin and Cho, arXiv 1904.08375; filtering as in doc2query--, Gospodinov, MacAvaney and
    Macdonald, ECIR 2023, arXiv 2301.03266.
    """

    def __init__(
        self,
        asking: Asking,
        template: Template,
        scorer: Scorer,
        *,
        scored_by: str,
        field: str,
        count: int,
        keep: float,
        least: float | None,
    ) -> None:
        self.asking = asking
        self.template = template
        self.scorer = scorer
        self.scored_by = scored_by
        self.field = field
        self.count = count
        self.keep = keep
        self.least = least

    @property
    def identity(self) -> str:
        return "\n".join((self.asking.identity, self.template.system, self.template.user, self.scored_by))

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        found = self.asking.ask_all(self._questions(batch), self._read, tally)
        kept = iter(self._best([chunk.text for cut in batch for chunk in cut.chunks], found))
        return [[self._expanded(chunk, next(kept)) for chunk in cut.chunks] for cut in batch]

    def cost(self, batch: Sequence[Cut]) -> Cost:
        return self.asking.cost(self._questions(batch))

    def _questions(self, batch: Sequence[Cut]) -> list[Question]:
        return [
            Question(chunk, self.template.render({**framed(chunk, cut.document), "count": str(self.count)}))
            for cut in batch
            for chunk in cut.chunks
        ]

    def _read(self, chunk: Chunk, reply: str) -> list[str]:
        found = the_object(reply).get("questions")
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise UnusableReplyError(f'expected {{"questions": [texts]}}, got {reply[:80]!r}')
        return listed([str(each) for each in found], most=self.count)

    def _best(self, texts: Sequence[str], found: Sequence[Sequence[str] | None]) -> list[list[str]]:
        """Of the questions about each text those that are kept, best first, ties in the order of the reply."""
        pairs = [(question, text) for text, asked in zip(texts, found, strict=True) for question in asked or ()]
        scores = iter(self.scorer.score(pairs).tolist() if pairs else ())
        kept: list[list[str]] = []
        for asked in found:
            scored = [(next(scores), question) for question in asked or ()]
            best = sorted(scored, key=lambda pair: -pair[0])[: ceil(self.keep * len(scored))]
            kept.append([question for score, question in best if self.least is None or score >= self.least])
        return kept

    def _expanded(self, chunk: Chunk, questions: Sequence[str]) -> Chunk:
        if not questions:
            return chunk
        return replace(chunk, meta={**chunk.meta, self.field: SEPARATOR.join(questions)})
