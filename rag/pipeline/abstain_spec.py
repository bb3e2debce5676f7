"""The options of withholding answers that are in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rag.cite.specs import CiterSpec
from rag.config.spec import Spec
from rag.generate.specs import GeneratorSpec
from rag.models.language_model_spec import LanguageModelSpec
from rag.trigger.trigger_spec import TriggerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.pipeline.doubt import Doubt


class BoundsSpec(Spec):
    """From which value on a signal doubts an answer; one that is unset is not looked at."""

    score: float | None = None
    """Below this score of the best chunk, on the scale of whoever ordered the ranking last."""
    margin: float | None = Field(None, ge=0, le=1)
    """Below this lead of the best chunk over the second, as a share of the distance from the best to the last."""
    confidence: float | None = Field(None, ge=0, le=1)
    """Below this confidence of `extractive` in its best sentence."""
    logprob: float | None = Field(None, le=0)
    """Below this mean log-probability of the answer's tokens, in nats."""
    entropy: float | None = Field(None, ge=0)
    """Above this mean entropy of the answer's tokens, in nats."""
    agreement: float | None = Field(None, ge=0, le=1)
    """Below this share of samples that agree on the answer (`ask.generate.samples`)."""
    support: float | None = Field(None, ge=0, le=1)
    """Below this share of sentences that cite a source which supports them."""


class WeightsSpec(Spec):
    """What a signal adds to the log-odds that an answer is right, times its value; one that is unset is not read."""

    score: float | None = None
    """Of the best chunk, on the scale of whoever ordered the ranking last."""
    margin: float | None = None
    """Lead of the best chunk over the second, 0 to 1."""
    confidence: float | None = None
    """Of `extractive` in its best sentence, 0 to 1."""
    logprob: float | None = None
    """Mean log-probability of the answer's tokens, in nats."""
    entropy: float | None = None
    """Mean entropy of the answer's tokens, in nats; its weight is negative as a rule."""
    agreement: float | None = None
    """Share of samples that agree on the answer, 0 to 1."""
    support: float | None = None
    """Share of sentences that cite a source which supports them, 0 to 1."""


class AbstainSpec(Spec):
    """Withholds an answer that signals of its retrieval, its writing and its citations doubt together.

    Either by `bounds`, of which some must be passed, or by `weights`, fitted on answers known to be right or wrong.
    """

    bounds: BoundsSpec | None = None
    """When each signal doubts."""
    doubts: int = Field(2, ge=1)
    """With `bounds`: how many signals have to doubt an answer for it to be withheld."""
    weights: WeightsSpec | None = None
    """Of a logistic regression; `rag.evaluate.abstention.fit_weights` makes them."""
    bias: float = 0.0
    """With `weights`: the log-odds where all signals are 0."""
    least: float = Field(0.5, ge=0, le=1)
    """With `weights`: the probability of being right below which an answer is withheld; 0 withholds none."""

    @model_validator(mode="after")
    def _one_rule(self) -> AbstainSpec:
        if (self.bounds is None) == (self.weights is None):
            raise PydanticCustomError("rule", "expected either `bounds` or `weights`")
        count = len(self.signals)
        if not count:
            raise PydanticCustomError("rule", "no signal is set")
        if self.bounds is not None and self.doubts > count:
            raise PydanticCustomError(
                "rule",
                "{doubts} signals have to doubt, {count} set: lower `doubts`",
                {"doubts": self.doubts, "count": "1 is" if count == 1 else f"{count} are"},
            )
        return self

    @property
    def signals(self) -> dict[str, float]:
        """The signals that are set, with their bounds or weights."""
        rule = self.bounds or self.weights
        values = {} if rule is None else {name: getattr(rule, name) for name in type(rule).model_fields}
        return {name: value for name, value in values.items() if value is not None}

    def build(self) -> Doubt:
        """Make the rule."""
        from rag.pipeline.doubt import ByBounds, ByWeights

        if self.bounds is not None:
            return ByBounds(self.signals, doubts=self.doubts)
        return ByWeights(self.signals, bias=self.bias, least=self.least)

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        place = (*path, "weights" if self.bounds is None else "bounds")
        for name in self.signals:
            if why := self._unknown(name, pipeline):
                yield (*place, name), why

    def _unknown(self, name: str, pipeline: View) -> str:
        """Why a signal has no value in this pipeline; empty where it has one."""
        if name in ("score", "margin"):
            trigger = pipeline.get("ask.dynamic.trigger", TriggerSpec)
            if trigger is None or not trigger.skips:
                return ""
            return f"the trigger {trigger.use!r} may retrieve nothing, and there is no ranking then"
        if name == "support":
            citer = pipeline.get("ask.cite", CiterSpec)
            return f"ask.cite is {citer.use!r}, which checks no support" if citer and not citer.checks else ""
        if pipeline.value("ask.dynamic") is not None:
            return "with ask.dynamic an answer is written in pieces, of which this says nothing"
        generator = pipeline.get("ask.generate", GeneratorSpec)
        if generator is None:
            return ""
        if name in ("logprob", "entropy"):
            return _of_tokens(generator, pipeline)
        if name not in generator.signals:
            hint = ": set its `samples`" if name == "agreement" and generator.use == "llm" else ""
            return f"ask.generate is {generator.use!r}, which does not give this as it is set{hint}"
        return ""


def _of_tokens(generator: GeneratorSpec, pipeline: View) -> str:
    if "quotes" in generator.traits:
        return f"is of what a language model writes, ask.generate is {generator.use!r}: set it to llm"
    llm = pipeline.get("llm", LanguageModelSpec)
    if llm is not None and "logprobs" not in llm.offers:
        return f"the language model {llm.use!r} does not show how probable tokens are"
    return ""
