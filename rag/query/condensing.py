"""A follow-up question made to stand alone before it is searched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rag.models.llm import LanguageModel
from rag.query.base import Rewritten
from rag.query.condense import condense
from rag.types import Query


class Condense:
    """The question with what it leaves to the conversation put in; without earlier turns as it is.

    Retrieval, reranking and compression go by the new text. The answer is still written to the question as it was
    asked, with the conversation beside it.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, model: LanguageModel, *, prompt: str, turns: int, concurrency: int) -> None:
        self.model = model
        self.prompt = prompt
        self.turns = turns
        self.concurrency = concurrency

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        if not any(query.history for query in queries):
            return [Rewritten((query,), {"requests": 0}) for query in queries]
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="condense") as pool:
            return list(pool.map(self._condensed, queries))

    def _condensed(self, query: Query) -> Rewritten:
        if not query.history:
            return Rewritten((query,), {"requests": 0})
        text = condense(query.text, query.history[-self.turns :], self.model, prompt=self.prompt)
        return Rewritten((replace(query, text=text),), {"requests": 1, "changed": int(text != query.text)})
