"""The options of the rerankers that ask a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from rag.config.spec import PromptName
from rag.models.heads_option import HeadName, HeadsPath, Published, missing_heads
from rag.rerank.reranker_spec import RerankerSpec

if TYPE_CHECKING:
    from rag.models.attention_heads import Heads
    from rag.rerank.base import Reranker
    from rag.resources import Resources


class ListwiseSpec(RerankerSpec):
    """A language model orders numbered passages, window by window from the end (RankGPT, arXiv 2304.09542)."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["listwise"] = "listwise"
    depth: int = Field(20, ge=2, le=1000)
    """How many candidates to order; the others follow behind. 20 are one request, 100 are nine."""
    window: int = Field(20, ge=2, le=100)
    """Passages in one request."""
    step: int = Field(10, ge=1)
    """How far the window moves towards the front; what overlaps is carried on."""
    words: int = Field(300, ge=10)
    """Words shown of each passage."""
    margin: float | None = Field(None, ge=0, le=1)
    """Leave a ranking as it is where its first chunk leads the second by at least this share of the distance from the
    first to the last. Empty: never."""
    seed: int | None = None
    """Sent with every request, for servers that draw the same with the same seed."""
    prompt: PromptName = "rank"
    """The prompt template, by name."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many questions of a batch are with the model at the same time."""

    @model_validator(mode="after")
    def _windows_touch(self) -> ListwiseSpec:
        if self.step > self.window:
            raise ValueError(f"step {self.step} leaves out candidates between windows of {self.window}")
        return self

    def build(self, resources: Resources) -> Reranker:
        from rag.models.llm import Sampling
        from rag.models.template import Template
        from rag.rerank.listwise import FIELDS, ListwiseReranker

        return ListwiseReranker(
            resources.llm,
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            keep=self.keep,
            depth=self.depth,
            window=self.window,
            step=self.step,
            words=self.words,
            margin=self.margin,
            sampling=Sampling(temperature=0.0, seed=self.seed),
            concurrency=self.concurrency,
        )


class AttentionSpec(RerankerSpec):
    """Where a local language model looks when it reads the question behind the chunks (ICR, arXiv 2410.02642)."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "attention")
    use: Literal["attention"] = "attention"
    depth: int = Field(40, ge=2, le=1000)
    """How many candidates to show, all in one prompt; those that do not fit follow behind."""
    words: int | None = Field(300, ge=10)
    """Words shown of each passage; longer ones collect more attention, so all are cut alike. `null` shows them whole,
    as the answer's prompt does: with `reuse` in `llm`, what was read here is not read again there."""
    heads: Literal["all"] | Published | tuple[HeadName, ...] | HeadsPath = "all"
    """All heads, a file of `rag heads detect`, those published for a model (QRHead, arXiv 2506.09944), or a list of
    layer-head: ``["14-22"]``. A list belongs to one checkpoint; a file of another model is refused."""
    best: int = Field(16, ge=1)
    """How many heads of a file count, the best ones."""
    order: Literal["best-last", "canonical"] = "best-last"
    """How candidates stand in the prompt: the best next to the question, as published, or by document and place: with
    `reuse` in `llm`, a stage that shows the same chunks in the canonical order too finds the question already read."""
    calibrate: bool = True
    """Take off what a query without content attends to. Without it, one pass less, and worse rankings."""
    margin: float | None = Field(None, ge=0, le=1)
    """Leave a ranking as it is where its first chunk leads the second by at least this share of the distance from the
    first to the last. Empty: never."""
    prompt: PromptName = "attend"
    """The prompt template, by name; `answer`, or another of the generate stage, shows candidates as the answer's prompt
    does."""

    def missing(self) -> str | None:
        return missing_heads(self.heads)

    def build(self, resources: Resources) -> Reranker:
        from rag.models.attention_prompt import FIELDS
        from rag.models.template import Template
        from rag.rerank.attention import AttentionReranker

        return AttentionReranker(
            resources.llm,
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            keep=self.keep,
            depth=self.depth,
            words=self.words,
            heads=self._heads(),
            order=self.order,
            calibrate=self.calibrate,
            margin=self.margin,
        )

    def _heads(self) -> Heads:
        from rag.models.attention_heads import BestOf
        from rag.rerank.heads import PUBLISHED, parse_heads

        if isinstance(self.heads, tuple):
            return parse_heads(", ".join(self.heads))
        return BestOf(Path(self.heads), self.best) if self.heads.endswith(".json") else PUBLISHED.get(self.heads)


class ChainsSpec(RerankerSpec):
    """A language model lays out the steps that lead to the answer; chunks come in the order of the steps (LiR3AG).

    The idea of arXiv 2512.18329, with every step tied to its sources.
    """

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["chains"] = "chains"
    depth: int = Field(5, ge=1, le=100)
    """How many candidates to show."""
    words: int = Field(300, ge=10)
    """Words shown of each passage."""
    only_cited: bool = False
    """Whether chunks that no step rests on are left out, where there are steps; else they follow behind."""
    max_tokens: int = Field(400, ge=16)
    """How long the chain may get."""
    prompt: PromptName = "reasoning-chain"
    """The prompt template, by name."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many questions of a batch are with the model at the same time."""

    def build(self, resources: Resources) -> Reranker:
        from rag.models.llm import Sampling
        from rag.models.template import Template
        from rag.rerank.chains import FIELDS, ChainsReranker

        return ChainsReranker(
            resources.llm,
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            keep=self.keep,
            depth=self.depth,
            words=self.words,
            only_cited=self.only_cited,
            sampling=Sampling(temperature=0.0, max_tokens=self.max_tokens),
            concurrency=self.concurrency,
        )


LLM: tuple[type[RerankerSpec], ...] = (ListwiseSpec, AttentionSpec, ChainsSpec)
