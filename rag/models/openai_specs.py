"""The options of servers that speak the OpenAI chat completions API."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from rag.config.spec import Spec
from rag.models.language_model_spec import LanguageModelSpec

if TYPE_CHECKING:
    from rag.models.llm import LanguageModel, Tier


class TokenPricesSpec(Spec):
    """What a million tokens cost, in any currency."""

    prompt: float = Field(ge=0)
    """Tokens of the prompt."""
    completion: float = Field(ge=0)
    """Tokens of the reply."""
    cached: float | None = Field(None, ge=0)
    """Tokens of the prompt that the server had in its cache; empty: the same as `prompt`."""


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

    requests_per_minute: int | None = Field(None, ge=1)
    """Send no more requests in any minute; further ones wait. Empty: as many as there are."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Send no more tokens in any minute, prompts (estimated) and the longest replies together. Empty: no limit."""
    continues: bool = False
    """Whether the server continues a begun answer itself, as vLLM and SGLang do (`continue_final_message`). Otherwise
    the model is asked to continue it, which not every model does to the letter."""
    prices: TokenPricesSpec | None = None
    """What tokens cost; shown with every answer. Empty: nothing is shown."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        _ = parts.port  # read late: a ValueError where it is no number, or too large
        if not parts.hostname:
            raise ValueError("expected an address with a host, as http://localhost:8000/v1")
        return url

    def build(self) -> LanguageModel:
        from rag.models.openai import OpenAIModel
        from rag.models.prices import Price
        from rag.models.rate import RateLimit
        from rag.models.retry import Backoff

        prices = self.prices

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
            continues=self.continues,
            limit=RateLimit(requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute),
            price=None
            if prices is None
            else Price(prompt=prices.prompt, completion=prices.completion, cached=prices.cached),
        )
