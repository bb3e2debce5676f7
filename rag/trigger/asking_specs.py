"""The options of the triggers that ask a language model about the question, the passages or the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rag.config.spec import PromptName
from rag.config.stage import Use
from rag.trigger.crag_specs import BUILT_IN as GRADING
from rag.trigger.simple_specs import IterRetGenSpec
from rag.trigger.trigger_spec import TriggerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Set

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.models.llm import Json
    from rag.resources import Resources
    from rag.trigger.adaptive import Classifier
    from rag.trigger.asking import Asker
    from rag.trigger.base import Trigger
    from rag.trigger.selfrag import Critic


class AdaptiveSpec(TriggerSpec):
    """One retrieval or several rounds, by rules about the question (English). Adaptive-RAG, arXiv 2403.14403.

    The paper's classifier is a trained T5; the rules are ours.
    """

    use: Literal["adaptive"] = "adaptive"
    multi: Annotated[TriggerSpec, Use("trigger")] = IterRetGenSpec()
    """What decides about further rounds where a question needs several documents."""
    parametric: bool = False
    """Let the generator answer without evidence what it is taken to know. Rare and risky, hence off."""

    @property
    def skips(self) -> bool:
        return self.parametric

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        yield from self.left_without_evidence(pipeline, path)

    def classifier(self, resources: Resources) -> Classifier:
        from rag.trigger.adaptive import by_rules

        return by_rules

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.adaptive import Adaptive

        return Adaptive(self.classifier(resources), self.multi.build(resources), parametric=self.parametric)


class AdaptiveLlmSpec(AdaptiveSpec):
    """As `adaptive`, by asking the language model what the question needs, once for each question."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["adaptive-llm"] = "adaptive-llm"  # type: ignore[assignment]  # another name for another spec
    prompt: PromptName = "adaptive-class"
    """The prompt template, by name: ``{question}``."""

    def classifier(self, resources: Resources) -> Classifier:
        from rag.trigger.adaptive import Prompted

        return Prompted(_asker(resources, self.prompt, {"question"}, {"needs": {"enum": ["none", "single", "multi"]}}))


class ReflectingSpec(TriggerSpec):
    """What both ways of Self-RAG have in common."""

    threshold: float = Field(0.2, ge=0, le=1)
    """How much the model must want to retrieve, before writing and after each sentence."""
    relevant: float = Field(0.5, ge=0, le=1)
    """How relevant a passage must be to stay; the best one always does."""
    supported: float = Field(0.5, ge=0, le=1)
    """How well its best passage must support a sentence; else it is written anew."""
    best: int = Field(5, ge=1, le=50)
    """How many passages to judge, and how many to judge a sentence by."""

    @property
    def skips(self) -> bool:
        return True

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        yield from self.left_without_evidence(pipeline, path)

    def critic(self, resources: Resources) -> Critic:
        """Who judges; every subclass says."""
        raise NotImplementedError(type(self).__name__)

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.selfrag import SelfRag

        return SelfRag(
            self.critic(resources),
            threshold=self.threshold,
            relevant=self.relevant,
            supported=self.supported,
            best=self.best,
        )


class SelfRagSpec(ReflectingSpec):
    """Reads the reflection tokens of a checkpoint that was trained with them (Self-RAG, arXiv 2310.11511).

    Passages are dropped and sentences written anew by these; the paper searches among sentences instead.
    """

    needs: ClassVar[tuple[str, ...]] = ("llm", "logprobs")
    use: Literal["self-rag"] = "self-rag"

    def critic(self, resources: Resources) -> Critic:
        from rag.errors import ConfigError
        from rag.models.llm import ChoosingModel
        from rag.trigger.selfrag_critics import ReflectionTokens

        model = resources.llm
        if not isinstance(model, ChoosingModel):
            raise ConfigError(f"{type(model).__name__} gives no probabilities of its next token, 'self-rag' needs them")
        return ReflectionTokens(model)


class SelfRagPromptedSpec(ReflectingSpec):
    """Asks any model what `self-rag` reads from tokens: four prompts, one request each. An approximation."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["self-rag-prompted"] = "self-rag-prompted"
    retrieve_prompt: PromptName = "selfrag-retrieve"
    """The prompt template, by name: ``{question}`` and ``{draft}``."""
    relevant_prompt: PromptName = "selfrag-relevant"
    """The prompt template, by name: ``{question}`` and ``{passage}``."""
    support_prompt: PromptName = "selfrag-support"
    """The prompt template, by name: ``{passage}`` and ``{sentence}``."""
    useful_prompt: PromptName = "selfrag-useful"
    """The prompt template, by name: ``{question}`` and ``{sentence}``."""

    def critic(self, resources: Resources) -> Critic:
        from rag.trigger.selfrag_critics import SUPPORT, Prompted

        mark: Mapping[str, Json] = {"type": "integer", "minimum": 1, "maximum": 5}
        asked: tuple[tuple[str, str, Set[str], Json], ...] = (
            ("retrieve", self.retrieve_prompt, {"question", "draft"}, {"type": "boolean"}),
            ("relevant", self.relevant_prompt, {"question", "passage"}, {"type": "boolean"}),
            ("support", self.support_prompt, {"passage", "sentence"}, {"enum": [*SUPPORT]}),
            ("useful", self.useful_prompt, {"question", "sentence"}, dict(mark)),
        )
        return Prompted({name: _asker(resources, prompt, fields, {name: kind}) for name, prompt, fields, kind in asked})


def _asker(resources: Resources, prompt: str, fields: Set[str], properties: Mapping[str, Json]) -> Asker:
    from rag.models.template import Template
    from rag.trigger.asking import Asker

    template = Template.parse(resources.prompt(prompt), name=prompt, fields=fields)
    return Asker(resources.llm, template, properties)


BUILT_IN: tuple[type[TriggerSpec], ...] = (
    *GRADING,
    AdaptiveSpec,
    AdaptiveLlmSpec,
    SelfRagSpec,
    SelfRagPromptedSpec,
)
