"""The options of every query builder that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.config.spec import PromptName
from rag.trigger.trigger_spec import QueryBuilderSpec

if TYPE_CHECKING:
    from rag.resources import Resources
    from rag.trigger.base import QueryBuilder


class AutoSpec(QueryBuilderSpec):
    """What the trigger itself knows to ask, else what fits the moment.

    That is the sentence without its doubtful words, or all of it; at the end the answer and the question; before
    anything is written the question.
    """

    use: Literal["auto"] = "auto"

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import Auto

        return Auto()


class SentenceSpec(QueryBuilderSpec):
    """The sentence in doubt."""

    use: Literal["sentence"] = "sentence"

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import Sentence

        return Sentence(masked=False)


class MaskedSpec(QueryBuilderSpec):
    """The sentence in doubt without the words that are."""

    use: Literal["masked"] = "masked"

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import Sentence

        return Sentence(masked=True)


class DraftSpec(QueryBuilderSpec):
    """All that is written so far."""

    use: Literal["draft"] = "draft"

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import WholeDraft

        return WholeDraft(question=False)


class QuestionDraftSpec(QueryBuilderSpec):
    """All that is written so far, and the question."""

    use: Literal["question+draft"] = "question+draft"

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import WholeDraft

        return WholeDraft(question=True)


class NewNamesSpec(QueryBuilderSpec):
    """The names in what is written that the question does not have, each a query: the next hop. By rules, ours."""

    use: Literal["new-names"] = "new-names"
    most: int = Field(3, ge=1, le=20)
    """How many names to search at most, the first ones."""

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import NewNames

        return NewNames(most=self.most)


class LlmAskedSpec(QueryBuilderSpec):
    """One query that the language model words from the question, the draft and the sentence in doubt."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    asks_anew: ClassVar[bool] = True
    use: Literal["llm-asked"] = "llm-asked"
    prompt: PromptName = "trigger-query"
    """The prompt template, by name: ``{question}``, ``{draft}`` and ``{sentence}``."""

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.models.template import Template
        from rag.trigger.asking import Asker
        from rag.trigger.llm_query import LlmAsked

        fields = {"question", "draft", "sentence"}
        template = Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=fields)
        return LlmAsked(Asker(resources.llm, template, {"query": {"type": "string"}}))


BUILT_IN: tuple[type[QueryBuilderSpec], ...] = (
    AutoSpec,
    SentenceSpec,
    MaskedSpec,
    DraftSpec,
    QuestionDraftSpec,
    NewNamesSpec,
    LlmAskedSpec,
)
