"""The options of every language model that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.errors import ConfigError
from rag.models.language_model_spec import LanguageModelSpec as LanguageModelSpec
from rag.models.local_specs import TransformersModelSpec
from rag.models.vllm_specs import VllmSpec

if TYPE_CHECKING:
    from rag.models.llm import LanguageModel, Tier


class OpenAIModelSpec(LanguageModelSpec):
    """Any server that speaks the OpenAI chat completions API: OpenAI, vLLM, llama.cpp, Ollama, LM Studio, ..."""

    offers: ClassVar[frozenset[Tier]] = frozenset({"text", "logprobs"})
    use: Literal["openai"] = "openai"
    base_url: str = Field(pattern=r"^https?://\S+$")
    """Where the API is, without ``/chat/completions``: ``http://localhost:8000/v1``."""
    model: str = Field(min_length=1)
    """The model's name, as the server knows it."""
    api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the API key. The key itself never stands in a file."""
    temperature: float | None = Field(0.0, ge=0, le=2)
    """0 is as repeatable as the server allows; ``null`` sends none, for models that refuse the field."""
    max_tokens: int = Field(512, ge=1)
    """How long a reply may get."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls it: nearly all read the first, OpenAI's reasoning models only the second."""
    context_tokens: int = Field(8192, ge=256)
    """The window of the model. Evidence that does not fit beside instructions, question and answer is left out."""
    timeout_seconds: float = Field(60.0, gt=0)
    """How long the server may stay silent."""
    retries: int = Field(4, ge=0, le=20)
    """How often a failed request is repeated, with growing, random waits."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many requests are with the server at the same time."""

    def build(self) -> LanguageModel:
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
            context_tokens=self.context_tokens,
            concurrency=self.concurrency,
        )


class GivenSpec(LanguageModelSpec):
    """Handed over in Python, as ``Components(llm=...)``: any object with the methods of a language model."""

    offers: ClassVar[frozenset[Tier]] = frozenset({"text", "logprobs", "attention"})
    use: Literal["given"] = "given"

    def build(self) -> LanguageModel:
        raise ConfigError("llm: `given` is handed over in Python, none was", hint="Pipeline(spec, Components(llm=...))")


BUILT_IN: tuple[type[LanguageModelSpec], ...] = (OpenAIModelSpec, TransformersModelSpec, VllmSpec, GivenSpec)
