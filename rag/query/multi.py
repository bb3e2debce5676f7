"""Several ways to put one question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.models.llm import Completion
from rag.models.replies import object_in
from rag.query.asking import Asker, notes_on, texts_in
from rag.query.base import Rewritten
from rag.types import Query


class MultiQuery:
    """The question and up to `count` paraphrases of it, as in RAG-Fusion (Rackauckas, arXiv 2402.03367).

    A paraphrase counts 1 when the rankings are fused, the question `question_weight`. Where the reply is no list of
    queries, the question stands alone and the trace says so.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, asker: Asker, *, count: int, question_weight: float) -> None:
        self.asker = asker
        self.count = count
        self.question_weight = question_weight

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        replies = self.asker.ask(queries, [{"count": str(self.count)}])
        return [self._rewritten(query, reply) for query, [reply] in zip(queries, replies, strict=True)]

    def _rewritten(self, query: Query, reply: Completion) -> Rewritten:
        found = object_in(reply.text)
        texts = texts_in(found.get("queries"), most=self.count) if found is not None else None
        notes = notes_on([reply], malformed=int(not texts))
        others = [text for text in texts or () if text.casefold() != query.text.strip().casefold()]
        if not others:
            return Rewritten((query,), notes)
        first = replace(query, weight=query.weight * self.question_weight)
        return Rewritten((first, *(query.rephrased(text) for text in others)), notes)
