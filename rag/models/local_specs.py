"""The options of transformers in process."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.errors import MissingExtraError
from rag.kv.specs import ReuseSpec
from rag.models.compress_cache_specs import AnyCompressCacheSpec
from rag.models.language_model_spec import LanguageModelSpec

if TYPE_CHECKING:
    from rag.models.llm import LanguageModel, Tier


class TransformersModelSpec(LanguageModelSpec):
    """Any causal language model that transformers runs, in this program; shows attention; needs the extra `hf`."""

    offers: ClassVar[frozenset[Tier]] = frozenset({"text", "logprobs", "attention"})
    use: Literal["transformers"] = "transformers"
    model: str = Field(min_length=1)
    """A folder, or a name on the Hugging Face hub. Weights must be safetensors."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""
    trust_remote_code: bool = False
    """Run Python code from the model's repository. Only for repositories you have read."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """The weights' type in memory; `auto` takes that of the model's files."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0 always takes the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the most probable tokens that have this share together; without effect at temperature 0."""
    max_tokens: int = Field(512, ge=1)
    """How long a reply may get."""
    end_circles: bool = True
    """End a reply that says the same three times in a row, as small models do; one by schema goes on."""
    context_tokens: int | None = Field(None, ge=256)
    """The window, prompt and reply together; empty: the model's own. Evidence that does not fit is left out."""
    concurrency: int = Field(8, ge=1, le=256)
    """How many replies are written together, in one batch."""
    reuse: ReuseSpec | None = None
    """Keep what the model computed for the text of each source, and use it again in other prompts (docs/attention.md);
    some policies change answers. Empty: every prompt is read anew."""
    compress_cache: AnyCompressCacheSpec | None = None
    """Drop a part of a long prompt's keys and values before the reply is written (docs/kv-compression.md): lossy; then
    one reply is written at a time. Empty: nothing is dropped."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        return (
            missing_package("transformers", extra="hf")
            or missing_weights(self.model, allow_download=self.allow_download)
            or (self.compress_cache.missing() if self.compress_cache is not None else None)
        )

    def build(self) -> LanguageModel:
        if find_spec("transformers") is None:
            raise MissingExtraError("transformers", extra="hf", needed_for="llm `transformers`")
        from rag.models.local.loading import Loader
        from rag.models.local.model import TransformersModel

        loader = Loader(
            self.model,
            revision=self.revision,
            device=self.device,
            dtype=self.dtype,
            context_tokens=self.context_tokens,
            allow_download=self.allow_download,
            trust_remote_code=self.trust_remote_code,
        )
        return TransformersModel(
            loader,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            end_circles=self.end_circles,
            concurrency=self.concurrency,
            reuse=self.reuse,
            compress_cache=self.compress_cache,
        )
