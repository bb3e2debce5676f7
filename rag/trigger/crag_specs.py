"""The options of CRAG (arXiv 2401.15884) with each of those who can grade for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from rag.config.spec import PromptName
from rag.trigger.trigger_spec import TriggerSpec

if TYPE_CHECKING:
    from rag.resources import Resources
    from rag.trigger.base import Trigger
    from rag.trigger.evaluators import Evaluator


class GradingSpec(TriggerSpec):
    """What the three have in common."""

    upper: float
    """A passage with at least this score is right. It belongs to who scores, so take it from passages known to be right
    (a high quantile of the others' scores), never from another scorer."""
    lower: float
    """With at least this score a passage may be right."""
    depth: int = Field(10, ge=1, le=100)
    """How many passages to grade."""

    @model_validator(mode="after")
    def _in_order(self) -> GradingSpec:
        if self.lower > self.upper:
            raise ValueError(f"lower ({self.lower:g}) is above upper ({self.upper:g})")
        return self

    def evaluator(self, resources: Resources) -> Evaluator:
        """Who grades; every subclass says."""
        raise NotImplementedError(type(self).__name__)

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.crag import Crag

        return Crag(self.evaluator(resources), upper=self.upper, lower=self.lower, depth=self.depth, strips=0)


class StrippingSpec(GradingSpec):
    """What those have in common that can grade a part of a passage."""

    strips: int = Field(6, ge=0, le=100)
    """How many strips of the graded passages to keep as evidence; 0: whole passages."""
    strip_sentences: int = Field(3, ge=1, le=100)
    """How many sentences a strip has."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.crag import Crag

        return Crag(
            self.evaluator(resources),
            upper=self.upper,
            lower=self.lower,
            depth=self.depth,
            strips=self.strips,
            strip_sentences=self.strip_sentences,
        )


class CragSpec(StrippingSpec):
    """Grades what was found by a cross-encoder: correct is refined, incorrect replaced, ambiguous both (CRAG).

    arXiv 2401.15884, whose evaluator is a trained T5. What replaces comes from `ask.dynamic.elsewhere`; without that,
    nothing is left of an incorrect ranking, and the generator abstains. Needs the extra `hf` and the weights.
    """

    use: Literal["crag"] = "crag"
    model: str = Field("cross-encoder/ms-marco-MiniLM-L6-v2", min_length=1)
    """A sentence-transformers `CrossEncoder` with one score: a name on the Hugging Face hub, or a folder. Loaded once
    with a reranker of the same options."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    batch_size: int = Field(32, ge=1)
    """Passages in one batch."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        return missing_package("sentence_transformers", extra="hf") or missing_weights(
            self.model, allow_download=self.allow_download
        )

    def evaluator(self, resources: Resources) -> Evaluator:
        from rag.models.cross_encoder import SentenceTransformersCrossEncoder
        from rag.trigger.evaluators import CrossEncoded

        # The key a reranker uses for the same model with the same options: it is loaded once.
        options = (self.model, self.revision, self.device, self.batch_size, None, "none", self.allow_download)
        scorer = resources.shared(
            ("cross-encoder", *options),
            lambda: SentenceTransformersCrossEncoder(
                self.model,
                revision=self.revision,
                device=self.device,
                batch_size=self.batch_size,
                allow_download=self.allow_download,
            ),
        )
        return CrossEncoded(scorer)


class CragLlmSpec(StrippingSpec):
    """As `crag`, graded by the language model: 1 for correct, 0 for ambiguous, -1 for incorrect. Our approximation.

    One request for each passage, and one for each strip.
    """

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["crag-llm"] = "crag-llm"
    upper: float = 0.5
    """A passage with at least this score is right."""
    lower: float = -0.5
    """With at least this score a passage may be right."""
    strips: int = Field(0, ge=0, le=100)
    """How many strips of the graded passages to keep as evidence; 0: whole passages."""
    prompt: PromptName = "crag-evaluate"
    """The prompt template, by name: ``{question}`` and ``{passage}``."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many requests are with the model at the same time."""

    def evaluator(self, resources: Resources) -> Evaluator:
        from rag.models.template import Template
        from rag.trigger.asking import Asker
        from rag.trigger.evaluators import VERDICTS, Prompted

        template = Template.parse(resources.prompt(self.prompt), name=self.prompt, fields={"question", "passage"})
        return Prompted(Asker(resources.llm, template, {"verdict": {"enum": [*VERDICTS]}}, self.concurrency))


class CragScoresSpec(GradingSpec):
    """As `crag`, graded by the scores that the ranking has already; passages stay whole. Costs nothing. Ours."""

    use: Literal["crag-scores"] = "crag-scores"

    def evaluator(self, resources: Resources) -> Evaluator:
        from rag.trigger.evaluators import GivenScores

        return GivenScores()


BUILT_IN: tuple[type[TriggerSpec], ...] = (CragSpec, CragLlmSpec, CragScoresSpec)
