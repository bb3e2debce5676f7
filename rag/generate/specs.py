"""The options of every generator that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.generate.base import Generator
    from rag.models.llm import LanguageModel
    from rag.resources import Resources


class GeneratorSpec(Spec):
    """Options of what writes the answer."""

    use: str
    """The component's name."""

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


class OpenAISpec(GeneratorSpec):
    """Any server that speaks the OpenAI chat completions API: OpenAI, vLLM, llama.cpp, Ollama, LM Studio, ..."""

    use: Literal["openai"] = "openai"
    base_url: str = Field(pattern=r"^https?://\S+$")
    """Where the API is, without ``/chat/completions``: ``http://localhost:8000/v1``."""
    model: str = Field(min_length=1)
    """The model's name, as the server knows it."""
    api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the API key. The key itself never stands in a file."""
    prompt: str = "answer"
    """The prompt template, by name."""
    temperature: float | None = Field(0.0, ge=0, le=2)
    """0 is as repeatable as the server allows; ``null`` sends none, for models that refuse the field."""
    max_tokens: int = Field(512, ge=1)
    """How long an answer may get."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls it: nearly all read the first, OpenAI's reasoning models only the second."""
    context_tokens: int = Field(8192, ge=256)
    """The window of the model. Evidence that does not fit beside instructions, question and answer is left out."""
    timeout_seconds: float = Field(60.0, gt=0)
    """How long the server may stay silent."""
    retries: int = Field(4, ge=0, le=20)
    """How often a failed request is repeated, with growing, random waits."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many questions of a batch are asked at the same time."""

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
        from rag.models.openai import OpenAIModel
        from rag.models.retry import Backoff

        return OpenAIModel(
            base_url=self.base_url,
            model=self.model,
            api_key_env=self.api_key_env,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            timeout_seconds=self.timeout_seconds,
            backoff=Backoff(retries=self.retries),
            length_field=self.length_field,
        )


BUILT_IN: tuple[type[GeneratorSpec], ...] = (ExtractiveSpec, OpenAISpec)
