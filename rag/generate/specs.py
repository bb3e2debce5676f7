"""The options of every generator that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.config.spec import Spec
from rag.models.specs import Server

if TYPE_CHECKING:
    from rag.generate.base import Generator
    from rag.models.llm import LanguageModel
    from rag.resources import Resources


class GeneratorSpec(Spec):
    """Options of what writes the answer."""

    use: str
    """The component's name."""

    writes: ClassVar[bool] = False
    """Whether it has a language model, which other stages may ask too."""

    def build(self, resources: Resources) -> Generator:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)

    def language_model(self) -> LanguageModel | None:
        """The chat model with these options, for other work than answers; ``None`` where the generator has none."""
        return None


class ExtractiveSpec(GeneratorSpec):
    """Quotes the best supported sentences of the sources. Needs no weights beyond the embedder's."""

    use: Literal["extractive"] = "extractive"
    sentences: int = Field(3, ge=1, le=20)
    """How many sentences an answer has at most."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Below this confidence (0 to 1) the answer is that the sources do not say; the calibrated value when absent."""

    def build(self, resources: Resources) -> Generator:
        from rag.generate.extractive import ExtractiveGenerator

        return ExtractiveGenerator(resources, sentences=self.sentences, threshold=self.threshold)


class OpenAISpec(Server, GeneratorSpec):
    """Any server that speaks the OpenAI chat completions API: OpenAI, vLLM, llama.cpp, Ollama, LM Studio, ..."""

    writes: ClassVar[bool] = True
    use: Literal["openai"] = "openai"
    prompt: str = "answer"
    """The prompt template, by name."""

    def build(self, resources: Resources) -> Generator:
        from rag.generate.llm import LanguageModelGenerator
        from rag.generate.prompt import FIELDS
        from rag.models.template import Template

        return LanguageModelGenerator(
            self.language_model(),
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            max_tokens=self.max_tokens,
            context_tokens=self.context_tokens,
            concurrency=self.concurrency,
        )

    def language_model(self) -> LanguageModel:
        return self.client(place="ask.generate")


BUILT_IN: tuple[type[GeneratorSpec], ...] = (ExtractiveSpec, OpenAISpec)
