"""The options of every generator that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.config.spec import PromptName, Spec, Trait

if TYPE_CHECKING:
    from rag.generate.base import Generator
    from rag.resources import Resources


class GeneratorSpec(Spec):
    """Options of what writes the answer."""

    use: str
    """The component's name."""

    @property
    def signals(self) -> frozenset[str]:
        """What of `rag.generate.base.Outcome.signals` it gives with an answer."""
        return frozenset()

    def build(self, resources: Resources) -> Generator:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class ExtractiveSpec(GeneratorSpec):
    """Quotes the best supported sentences of the sources. Needs no weights beyond the embedder's."""

    use: Literal["extractive"] = "extractive"
    sentences: int = Field(3, ge=1, le=20)
    """How many sentences an answer has at most."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Below this confidence (0 to 1) the answer is that the sources do not say; the calibrated value when absent."""

    @property
    def traits(self) -> frozenset[Trait]:
        return frozenset({"quotes", "abstains"})

    @property
    def signals(self) -> frozenset[str]:
        return frozenset({"confidence"})

    def build(self, resources: Resources) -> Generator:
        from rag.generate.extractive import ExtractiveGenerator

        return ExtractiveGenerator(resources, sentences=self.sentences, threshold=self.threshold)


class SamplesSpec(Spec):
    """Several samples of an answer; the one that most agree on is given (self-consistency, arXiv 2203.11171)."""

    count: int = Field(5, ge=2, le=100)
    """How often the model answers; each answer costs its tokens, the prompt is the same."""
    temperature: float = Field(0.7, gt=0, le=2)
    """At which they are drawn."""
    agree: Literal["words", "meaning"] = "words"
    """When two say the same: by their `words`, for short answers, or by `meaning`, for sentences: near vectors of the
    pipeline's embedder, the same numbers, and no names that tell them apart."""
    cosine: float = Field(0.9, ge=0, le=1)
    """The least cosine of two answers that say the same by `meaning`."""
    seed: int = 0
    """Of the first sample; the others follow. A server that takes no seeds draws as it likes."""


class LlmSpec(GeneratorSpec):
    """The pipeline's language model (`llm`) writes the answer from the numbered evidence."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["llm"] = "llm"
    prompt: PromptName = "answer"
    """The prompt template, by name."""
    max_tokens: int = Field(512, ge=1)
    """How long the answer may get; held back from the model's window. Evidence that does not fit is left out."""
    evidence_tokens: int | None = Field(None, ge=1)
    """The most tokens of evidence in a prompt, by the model's own count; empty: what the window leaves."""
    history_tokens: int | None = Field(None, ge=0)
    """The most tokens of earlier turns; the oldest are left out first. Empty: all that were given."""
    structured_prompt: PromptName = "structured"
    """The prompt template for answers in a schema, by name."""
    without_evidence: Literal["abstain", "answer"] = "abstain"
    """Where nothing was retrieved: say so, or let the model answer from what it knows."""

    samples: SamplesSpec | None = None
    """Answer several times and give the answer that most agree on; null: once. Nothing is streamed before the vote."""

    @property
    def traits(self) -> frozenset[Trait]:
        return frozenset({"abstains"} if self.without_evidence == "abstain" else ())

    @property
    def signals(self) -> frozenset[str]:
        return frozenset({"agreement"} if self.samples else ())

    def build(self, resources: Resources) -> Generator:
        from rag.generate.llm import LanguageModelGenerator
        from rag.generate.prompt import FIELDS, Budgets
        from rag.models.template import Template

        name, fields = self.structured_prompt, FIELDS | {"schema"}
        generator = LanguageModelGenerator(
            resources.llm,
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            max_tokens=self.max_tokens,
            budgets=Budgets(self.evidence_tokens, self.history_tokens),
            structured=Template.parse(resources.prompt(name), name=name, fields=fields),
            without_evidence=self.without_evidence,
        )
        if self.samples is None:
            return generator
        from rag.generate.agreement import Agreement, SameMeaning, SameWords
        from rag.generate.consistent import ConsistentGenerator

        drawn = self.samples
        agreement: Agreement = SameWords()
        if drawn.agree == "meaning":
            agreement = SameMeaning(lambda: resources.embedder, cosine=drawn.cosine)
        return ConsistentGenerator(
            generator, agreement, samples=drawn.count, temperature=drawn.temperature, seed=drawn.seed
        )


BUILT_IN: tuple[type[GeneratorSpec], ...] = (ExtractiveSpec, LlmSpec)
