"""The options of every language model that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from rag.errors import ConfigError
from rag.models.language_model_spec import LanguageModelSpec as LanguageModelSpec
from rag.models.local_specs import TransformersModelSpec
from rag.models.openai_specs import OpenAIModelSpec
from rag.models.vllm_specs import VllmSpec

if TYPE_CHECKING:
    from rag.models.llm import LanguageModel, Tier


class GivenSpec(LanguageModelSpec):
    """Handed over in Python, as ``Components(llm=...)``: any object with the methods of a language model."""

    offers: ClassVar[frozenset[Tier]] = frozenset({"text", "logprobs", "attention"})
    use: Literal["given"] = "given"

    def build(self) -> LanguageModel:
        raise ConfigError("llm: `given` is handed over in Python, none was", hint="Pipeline(spec, Components(llm=...))")


BUILT_IN: tuple[type[LanguageModelSpec], ...] = (OpenAIModelSpec, TransformersModelSpec, VllmSpec, GivenSpec)
