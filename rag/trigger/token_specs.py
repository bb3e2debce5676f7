"""The options of the triggers that look at how tokens came about: probabilities, entropies, attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.trigger.trigger_spec import TriggerSpec

if TYPE_CHECKING:
    from rag.models.attention import ReadingModel
    from rag.resources import Resources
    from rag.trigger.base import Trigger


class FlareSpec(TriggerSpec):
    """Retrieves where a token of the sentence was improbable (FLARE, arXiv 2305.06983)."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "logprobs")
    writes: ClassVar[bool] = True
    use: Literal["flare"] = "flare"
    threshold: float = Field(0.8, ge=0, le=1)
    """A sentence stays if every token is more probable than this; published for 2WikiMultihopQA."""
    mask: float = Field(0.4, ge=0, le=1)
    """Words with a token that is no more probable than this are left out of the query."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.flare import Flare

        return Flare(threshold=self.threshold, mask=self.mask)


class DraginSpec(TriggerSpec):
    """Retrieves where an uncertain word matters to what follows it (DRAGIN, arXiv 2403.10081)."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "attention")
    writes: ClassVar[bool] = True
    use: Literal["dragin"] = "dragin"
    threshold: float = Field(1.0, gt=0)
    """Attention x entropy x number of words above which a word is in doubt; depends on the model. Published for
    Llama-2-7B: 1.0 (2WikiMultihopQA), 0.8 (HotpotQA), 0.6 (IIRC), 0.75 (StrategyQA)."""
    words: int = Field(25, ge=1, le=200)
    """How many words a query has at most."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.dragin import Dragin

        return Dragin(_reading(resources, self.use), threshold=self.threshold, words=self.words)


class AttentionSpec(TriggerSpec):
    """Retrieves by attention and entropy over several layers. Ours, after the idea of ATLAS (arXiv 2504.01281)."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "attention")
    writes: ClassVar[bool] = True
    use: Literal["attention-score"] = "attention-score"
    threshold: float = Field(gt=0)
    """The score above which a word is in doubt: a quantile of `largest` in the traces of earlier answers."""
    layers: tuple[int, ...] = Field((-4, -3, -2, -1), min_length=1)
    """The layers to look at, from 0; negative ones count from the last."""
    words: int = Field(15, ge=1, le=200)
    """How many words a query has at most."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.attention_score import AttentionScore

        model = _reading(resources, self.use)
        return AttentionScore(model, threshold=self.threshold, layers=self.layers, words=self.words)


def _reading(resources: Resources, use: str) -> ReadingModel:
    from rag.errors import ConfigError
    from rag.models.attention import ReadingModel

    model = resources.llm
    if not isinstance(model, ReadingModel):
        raise ConfigError(
            f"{type(model).__name__} does not show what it attends to, {use!r} needs it",
            hint="set `llm` to a local model, such as {use: transformers, model: ...}",
        )
    return model


BUILT_IN: tuple[type[TriggerSpec], ...] = (FlareSpec, DraginSpec, AttentionSpec)
