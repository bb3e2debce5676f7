"""The options of every query transform that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from rag.config.spec import PromptName
from rag.query.transform_spec import QueryTransformSpec as QueryTransformSpec

if TYPE_CHECKING:
    from collections.abc import Set

    from rag.models.llm import Sampling
    from rag.query.asking import Asker
    from rag.query.bandit_state import BanditState
    from rag.query.base import QueryTransform
    from rag.resources import Resources

Strategy = Literal["none", "paraphrase", "simplify", "disambiguate", "expand", "clarify"]


class AskingSpec(QueryTransformSpec):
    """Options of a transform that asks the language model."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    prompt: PromptName
    """The prompt template, by name."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many requests are with the model at the same time."""

    def asker(self, resources: Resources, *, fields: Set[str], sampling: Sampling, prompt: str | None = None) -> Asker:
        """The model and a prompt (`self.prompt`, unless named), which may use ``{question}`` and `fields`."""
        from rag.models.template import Template
        from rag.query.asking import Asker

        name = prompt or self.prompt
        template = Template.parse(resources.prompt(name), name=name, fields={"question", *fields})
        return Asker(resources.llm, template, sampling, self.concurrency)


class MultiQuerySpec(AskingSpec):
    """The question beside paraphrases of it, all searched, their rankings fused."""

    use: Literal["multi-query"] = "multi-query"
    count: int = Field(3, ge=1, le=10)
    """How many paraphrases to ask for, in one request."""
    question_weight: float = Field(2.0, ge=0, allow_inf_nan=False)
    """How much the question itself counts in fusion, where a paraphrase counts 1."""
    prompt: PromptName = "multi-query"
    """The prompt template, by name: ``{question}`` and ``{count}``."""
    temperature: float = Field(0.7, ge=0, le=2)
    """How freely the model words them."""
    seed: int | None = 0
    """Makes the draw repeat, where the server can; ``null`` draws anew each time."""

    def build(self, resources: Resources) -> QueryTransform:
        from rag.models.llm import Sampling
        from rag.query.asking import list_schema
        from rag.query.multi import MultiQuery

        schema = list_schema("queries", most=self.count)
        sampling = Sampling(temperature=self.temperature, seed=self.seed, schema=schema)
        asker = self.asker(resources, fields={"count"}, sampling=sampling)
        return MultiQuery(asker, count=self.count, question_weight=self.question_weight)


class HydeSpec(AskingSpec):
    """Dense retrieval by imagined answers (HyDE): their vectors are averaged with the question's."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "ingest.index.dense")
    use: Literal["hyde"] = "hyde"
    count: int = Field(8, ge=1, le=32)
    """How many passages to imagine, each in a request of its own."""
    beside: bool = False
    """Search the question as it is too, and fuse the rankings, rather than let the mean take its place."""
    prompt: PromptName = "hyde"
    """The prompt template, by name: ``{question}``."""
    temperature: float = Field(0.7, ge=0, le=2)
    """How much the passages differ."""
    max_tokens: int = Field(512, ge=16)
    """How long a passage may get; what is over the encoder's window is cut."""
    seed: int | None = 0
    """The first passage's seed, the next counts on; ``null`` draws anew each time."""

    @property
    def several(self) -> bool:
        return self.beside

    def build(self, resources: Resources) -> QueryTransform:
        from rag.models.llm import Sampling
        from rag.query.hyde import Hyde

        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        asker = self.asker(resources, fields=set(), sampling=sampling)
        return Hyde(asker, count=self.count, seed=self.seed, beside=self.beside)


class DecomposeSpec(AskingSpec):
    """The question beside the simpler questions it is made of, all searched, their rankings fused."""

    use: Literal["decompose"] = "decompose"
    most: int = Field(5, ge=2, le=10)
    """How many parts at most; a longer plan is not used."""
    depth: int = Field(3, ge=1, le=10)
    """How many parts may stand on each other in a row."""
    prompt: PromptName = "decompose"
    """The prompt template, by name: ``{question}`` and ``{most}``."""

    def build(self, resources: Resources) -> QueryTransform:
        from rag.models.llm import Sampling
        from rag.query.decompose import SCHEMA, Decompose

        asker = self.asker(resources, fields={"most"}, sampling=Sampling(temperature=0.0, schema=SCHEMA))
        return Decompose(asker, most=self.most, depth=self.depth)


class SplitSpec(QueryTransformSpec):
    """The question beside the questions it strings together, taken apart by rules without a model."""

    use: Literal["split"] = "split"

    def build(self, resources: Resources) -> QueryTransform:
        from rag.query.split import Split

        return Split()


class GenQRSpec(AskingSpec):
    """What both ways to use generated keywords have in common."""

    instructions: int = Field(10, ge=1, le=10)
    """By how many instructions keywords are asked for, each in a request of its own."""
    prompt: PromptName = "genqr"
    """The prompt template, by name: ``{question}`` and ``{instruction}``."""
    temperature: float = Field(0.7, ge=0, le=2)
    """How freely the model chooses."""
    seed: int | None = 0
    """Makes the draw repeat, where the server can; ``null`` draws anew each time."""

    def keyword_asker(self, resources: Resources) -> Asker:
        from rag.models.llm import Sampling

        sampling = Sampling(temperature=self.temperature, seed=self.seed, max_tokens=128)
        return self.asker(resources, fields={"instruction"}, sampling=sampling)


class GenQREnsembleSpec(GenQRSpec):
    """Sparse retrieval by the question and generated keywords of many instructions (GenQREnsemble)."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "ingest.index.sparse")
    use: Literal["genqr-ensemble"] = "genqr-ensemble"

    @property
    def several(self) -> bool:
        return False

    def build(self, resources: Resources) -> QueryTransform:
        from rag.query.genqr import GenQREnsemble

        return GenQREnsemble(self.keyword_asker(resources), instructions=self.instructions)


class GenQRFusionSpec(GenQRSpec):
    """A query for each instruction's keywords, all searched beside the question, their rankings fused (GenQRFusion)."""

    use: Literal["genqr-fusion"] = "genqr-fusion"

    def build(self, resources: Resources) -> QueryTransform:
        from rag.query.genqr import GenQRFusion

        return GenQRFusion(self.keyword_asker(resources), instructions=self.instructions)


class GenCrfSpec(AskingSpec):
    """Reformulations of three kinds, grouped by intent, one weighted query for each intent (GenCRF)."""

    use: Literal["gencrf"] = "gencrf"
    variants: int = Field(2, ge=1, le=10)
    """How many reformulations of each kind: context, detail, aspect."""
    intents: int = Field(3, ge=1, le=10)
    """How many intents to keep."""
    group: Literal["llm", "embeddings"] = "llm"
    """Who groups them: the model in one more request, or clustering by the pipeline's embedder."""
    weigh: Literal["similarity", "relevance"] = "similarity"
    """By the cosine with the question, or by the relevance the model gave when it grouped them."""
    floor: float = Field(0.5, ge=0, lt=1)
    """Cosines under this count nothing."""
    prompt: PromptName = "gencrf"
    """The prompt template, by name: ``{question}``, ``{instruction}`` and ``{count}``."""
    group_prompt: PromptName = "gencrf-group"
    """The prompt template of the grouping, by name: ``{question}``, ``{queries}`` and ``{most}``."""
    temperature: float = Field(0.7, ge=0, le=2)
    """How freely the model words them."""
    seed: int | None = 0
    """Makes the draw repeat, where the server can; ``null`` draws anew each time."""

    @model_validator(mode="after")
    def _relevance_has_a_source(self) -> GenCrfSpec:
        if self.weigh == "relevance" and self.group != "llm":
            raise ValueError("`weigh: relevance` takes the figures that the model gives, so it needs `group: llm`")
        return self

    def build(self, resources: Resources) -> QueryTransform:
        from rag.models.llm import Sampling
        from rag.query.asking import list_schema
        from rag.query.gencrf import GROUP_SCHEMA, GenCrf

        schema = list_schema("queries", most=self.variants)
        drawn = Sampling(temperature=self.temperature, seed=self.seed, schema=schema)
        return GenCrf(
            self.asker(resources, fields={"instruction", "count"}, sampling=drawn),
            self.asker(
                resources,
                fields={"queries", "most"},
                sampling=Sampling(temperature=0.0, schema=GROUP_SCHEMA),
                prompt=self.group_prompt,
            ),
            resources.embedder,
            variants=self.variants,
            intents=self.intents,
            group=self.group,
            weigh=self.weigh,
            floor=self.floor,
        )


class BanditSpec(AskingSpec):
    """One strategy of rewriting for each question, chosen by what rewards have taught (QueryBandits)."""

    use: Literal["bandit"] = "bandit"
    state: str = ".ragloom/bandit.sqlite"
    """The file of what was learnt; made at first use. Several processes may share it."""
    arms: tuple[Strategy, ...] = Field(
        ("none", "paraphrase", "simplify", "disambiguate", "expand", "clarify"), min_length=2
    )
    """The strategies to choose from; `none` leaves the question alone and is all that is chosen before any reward."""
    prior: float = Field(1.0, gt=0, allow_inf_nan=False)
    """How much evidence it takes to move an arm from its start (lambda)."""
    spread: float = Field(0.25, ge=0, allow_inf_nan=False)
    """How much is tried out; 0 always takes what looks best."""
    seed: int = Field(0, ge=0)
    """With the same state the same choices."""
    prompt: PromptName = "bandit"
    """The prompt template, by name: ``{question}`` and ``{instruction}``."""

    @field_validator("arms")
    @classmethod
    def _arms_differ(cls, arms: tuple[Strategy, ...]) -> tuple[Strategy, ...]:
        if len(set(arms)) < len(arms):
            raise ValueError("an arm stands twice")
        return arms

    def stored(self) -> BanditState:
        """What was learnt, and where rewards go."""
        from pathlib import Path as FilePath

        from rag.query.bandit_state import BanditState
        from rag.query.features import FEATURES

        return BanditState(FilePath(self.state), features=FEATURES, prior=self.prior)

    def build(self, resources: Resources) -> QueryTransform:
        from rag.models.llm import Sampling
        from rag.query.bandit import Bandit

        asker = self.asker(resources, fields={"instruction"}, sampling=Sampling(temperature=0.0))
        return Bandit(asker, self.stored(), arms=self.arms, spread=self.spread, seed=self.seed)


class CondenseSpec(AskingSpec):
    """A follow-up question made to stand alone by what was said before; the first question of all is left as it is."""

    use: Literal["condense"] = "condense"
    turns: int = Field(8, ge=1, le=100)
    """How many of the last turns the model is shown."""
    prompt: PromptName = "condense"
    """The prompt template, by name: ``{question}`` and ``{history}``."""

    @property
    def several(self) -> bool:
        return False

    def build(self, resources: Resources) -> QueryTransform:
        from rag.models.template import Template
        from rag.query.condense import FIELDS
        from rag.query.condensing import Condense

        template = Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS)
        return Condense(resources.llm, template, turns=self.turns, concurrency=self.concurrency)


class TemporalSpec(QueryTransformSpec):
    """The question beside itself without the years it names; the reranker `temporal` weighs what is found by these."""

    use: Literal["temporal"] = "temporal"

    def build(self, resources: Resources) -> QueryTransform:
        from rag.query.temporal import Temporal

        return Temporal()


class PrfFeaturesSpec(QueryTransformSpec):
    """The question beside itself with the features that enrichment gave the chunks it finds first."""

    use: Literal["prf-features"] = "prf-features"
    fields: tuple[str, ...] = Field(("feature_keywords", "feature_entities", "feature_summary"), min_length=1)
    """Metadata of chunks, as the enrichers `prf-features`, `metadata` and `metadata-rules` write it."""
    depth: int = Field(3, ge=1, le=100)
    """How many of the first chunks lend their features."""
    weight: float = Field(0.3, gt=0, allow_inf_nan=False)
    """How much the longer query counts beside the question."""
    least: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How far the best score must be above the mean of all, in their standard deviations; else there is no feedback."""

    def build(self, resources: Resources) -> QueryTransform:
        from rag.query.prf_features import PrfFeatures

        return PrfFeatures(resources, fields=self.fields, depth=self.depth, weight=self.weight, least=self.least)


BUILT_IN: tuple[type[QueryTransformSpec], ...] = (
    MultiQuerySpec,
    HydeSpec,
    DecomposeSpec,
    SplitSpec,
    GenQREnsembleSpec,
    GenQRFusionSpec,
    GenCrfSpec,
    BanditSpec,
    CondenseSpec,
    TemporalSpec,
    PrfFeaturesSpec,
)
