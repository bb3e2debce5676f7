"""A follow-up question made to stand alone before it is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.models.batch import Ask, complete_all
from rag.models.llm import Completion, LanguageModel
from rag.models.template import Template
from rag.query.asking import notes_on
from rag.query.base import Rewritten
from rag.query.condense import request, standalone
from rag.types import Query


class Condense:
    """The question with what it leaves to the conversation put in; without earlier turns as it is.

    Retrieval, reranking and compression go by the new text. The answer is still written to the question as it was
    asked, with the conversation beside it. A reply that cannot be a question leaves it as it was and is counted.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, model: LanguageModel, template: Template, *, turns: int, concurrency: int) -> None:
        self.model = model
        self.template = template
        self.turns = turns
        self.concurrency = concurrency

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        places = [at for at, query in enumerate(queries) if query.history]
        asks = [Ask(request(queries[at].text, queries[at].history[-self.turns :], self.template)) for at in places]
        replies = dict(zip(places, complete_all(self.model, asks, concurrency=self.concurrency), strict=True))
        return [self._rewritten(query, replies.get(at)) for at, query in enumerate(queries)]

    def _rewritten(self, query: Query, reply: Completion | None) -> Rewritten:
        if reply is None:
            return Rewritten((query,), {"requests": 0})
        text = standalone(reply.text, query.text)
        made = query if text is None else replace(query, text=text)
        return Rewritten((made,), notes_on([reply], malformed=int(text is None)))
