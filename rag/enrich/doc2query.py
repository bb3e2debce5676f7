"""Document expansion: the questions a chunk answers, for the sparse side to find it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from rag.embed.base import Embedder
from rag.enrich.asking import Asking, Question, UnusableReplyError, object_in
from rag.enrich.base import Batched, Cut
from rag.enrich.metadata import framed
from rag.enrich.schema import SEPARATOR, listed
from rag.enrich.tally import Cost, EnrichmentTally
from rag.models.template import Template
from rag.types import Chunk

FIELDS = frozenset({"title", "text", "count"})
"""What the `doc2query` template may use."""


class Doc2Query(Batched):
    """Asks a language model for `count` questions a chunk answers and keeps the share `keep` that is nearest to it.

    They go into the chunk's metadata `field`, which a sparse index reads with the text (its option `fields`); vectors
    and evidence never see them. A question's nearness is the cosine of its query vector and the text's document vector;
    those below `least` are dropped too. The nearest are chosen chunk by chunk, so that what a chunk is indexed by
    depends on nothing but itself; the paper's threshold is one for the whole collection. A chunk without a usable reply
    stays as it was.

    doc2query, Nogueira, Yang, Lin and Cho, arXiv 1904.08375; filtering as in doc2query--, Gospodinov, MacAvaney and
    Macdonald, ECIR 2023, arXiv 2301.03266, by a bi-encoder in the place of a cross-encoder.
    """

    def __init__(
        self,
        asking: Asking,
        template: Template,
        embedder: Embedder,
        *,
        field: str,
        count: int,
        keep: float,
        least: float,
    ) -> None:
        self.asking = asking
        self.template = template
        self.embedder = embedder
        self.field = field
        self.count = count
        self.keep = keep
        self.least = least

    @property
    def identity(self) -> str:
        embedder = str(sorted(self.embedder.identity.as_dict().items()))
        return "\n".join((self.asking.identity, self.template.system, self.template.user, embedder))

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        found = self.asking.ask_all(self._questions(batch), self._read, tally)
        kept = iter(self._nearest([chunk.text for cut in batch for chunk in cut.chunks], found))
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
        found = object_in(reply).get("questions")
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise UnusableReplyError(f'expected {{"questions": [texts]}}, got {reply[:80]!r}')
        return listed([str(each) for each in found], most=self.count)

    def _nearest(self, texts: Sequence[str], found: Sequence[Sequence[str] | None]) -> list[list[str]]:
        """Of the questions about each text those that are kept, nearest first, ties in the order of the reply."""
        flat = [question for questions in found for question in questions or ()]
        asked = [text for text, questions in zip(texts, found, strict=True) if questions]
        if not flat:
            return [[] for _ in texts]
        of_questions = iter(self.embedder.embed_queries(flat))
        of_texts = iter(self.embedder.embed_documents(asked))
        kept: list[list[str]] = []
        for questions in found:
            if not questions:
                kept.append([])
                continue
            text = next(of_texts)
            scores = np.array([float(next(of_questions) @ text) for _ in questions])
            best = np.argsort(-scores, kind="stable")[: ceil(self.keep * len(questions))]
            kept.append([questions[at] for at in best if scores[at] >= self.least])
        return kept

    def _expanded(self, chunk: Chunk, questions: Sequence[str]) -> Chunk:
        if not questions:
            return chunk
        return replace(chunk, meta={**chunk.meta, self.field: SEPARATOR.join(questions)})
