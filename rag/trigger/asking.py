"""What every trigger that asks a language model does: prompts with documents as data, replies as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rag.models.batch import Ask, complete_all
from rag.models.llm import Json, LanguageModel, Sampling
from rag.models.replies import object_in
from rag.models.template import Template, as_data
from rag.types import Scalar, Usage


@dataclass(slots=True)
class Told:
    """Replies, ``None`` for one that was of no use, and what they cost."""

    replies: list[Mapping[str, Json] | None]
    usage: Usage

    def notes(self) -> dict[str, Scalar]:
        """For the trace, which counts them among the costs."""
        return {
            "requests": self.usage.requests,
            "malformed": self.replies.count(None),
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Asker:
    """A language model, a prompt, and the JSON Schema of its reply's properties."""

    model: LanguageModel
    template: Template
    properties: Mapping[str, Json]
    concurrency: int = 4
    sampling: Sampling = field(init=False)

    def __post_init__(self) -> None:
        schema: dict[str, Json] = {
            "type": "object",
            "properties": dict(self.properties),
            "required": [*self.properties],
            "additionalProperties": False,
        }
        object.__setattr__(self, "sampling", Sampling(temperature=0, schema=schema))

    def ask(self, values: Sequence[Mapping[str, str]]) -> Told:
        """A reply for each of `values`; what they hold cannot close the tags that the prompt frames it with.

        Raises:
            BackendError: the model failed.
        """
        asks = [
            Ask(self.template.render({name: as_data(text) for name, text in each.items()}), self.sampling)
            for each in values
        ]
        completions = complete_all(self.model, asks, concurrency=self.concurrency)
        usage = sum((completion.usage for completion in completions), Usage())
        return Told([object_in(completion.text) for completion in completions], usage)
