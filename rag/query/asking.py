"""What every transform by a language model does: ask about each query, keep count of replies that are of no use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.models.batch import Ask, complete_all
from rag.models.llm import AS_SET, Completion, Json, LanguageModel, Sampling
from rag.models.template import Template, as_data
from rag.types import Query, Scalar, Usage

LONGEST_CHARACTERS = 1000
"""A longer text is no search query."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A language model, a prompt about one question, and how many may be asked at a time.

    `template` uses ``{question}``, and any of what `values` gives beside it.
    """

    model: LanguageModel
    template: Template
    sampling: Sampling = AS_SET
    concurrency: int = 4

    def ask(
        self,
        queries: Sequence[Query],
        values: Sequence[Mapping[str, str]] = ({},),
        *,
        samplings: Sequence[Sampling] | None = None,
    ) -> list[list[Completion]]:
        """For each query the reply to each of `values`; `samplings`, where given, is one for each of `values`.

        The text of a query is data: it cannot close the tags that a prompt frames it with.

        Raises:
            BackendError: the model failed.
        """
        drawn = samplings or [self.sampling] * len(values)
        asks = [
            Ask(self.template.render({"question": as_data(query.text), **more}), sampling)
            for query in queries
            for more, sampling in zip(values, drawn, strict=True)
        ]
        replies = iter(complete_all(self.model, asks, concurrency=self.concurrency))
        return [[next(replies) for _ in values] for _ in queries]

    def ask_each(self, queries: Sequence[Query], values: Sequence[Mapping[str, str]]) -> list[Completion]:
        """For each query one reply, to its own of `values`.

        Raises:
            BackendError: the model failed.
        """
        asks = [
            Ask(self.template.render({"question": as_data(query.text), **more}), self.sampling)
            for query, more in zip(queries, values, strict=True)
        ]
        return complete_all(self.model, asks, concurrency=self.concurrency)


def notes_on(replies: Sequence[Completion], *, malformed: int) -> dict[str, Scalar]:
    """What the trace says about the replies to one query."""
    usage = sum((reply.usage for reply in replies), Usage())
    return {
        "requests": len(replies),
        "malformed": malformed,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def texts_in(value: Json, *, most: int) -> list[str] | None:
    """The first `most` different texts of a JSON list, trimmed; ``None`` if it is no list of search queries."""
    if not isinstance(value, list):
        return None
    texts: dict[str, str] = {}
    for each in value:
        if not isinstance(each, str) or len(each) > LONGEST_CHARACTERS:
            return None
        if each.strip():
            texts.setdefault(each.strip().casefold(), each.strip())
    return list(texts.values())[:most]


def list_schema(name: str, *, most: int) -> Mapping[str, Json]:
    """The JSON Schema of an object that holds one list of texts."""
    listed: Json = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": most}
    return {"type": "object", "properties": {name: listed}, "required": [name], "additionalProperties": False}
