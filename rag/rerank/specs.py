"""The options of every reranker that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.models.cross_encoder import PairScorer
    from rag.models.token_encoder import TokenEncoder
    from rag.rerank.base import Reranker
    from rag.resources import Resources

HeadName = Annotated[str, Field(pattern=r"^\d+-\d+$")]


class RerankerSpec(Spec):
    """Options of what orders the fused ranking again."""

    use: str
    """The component's name."""
    keep: int = Field(10, ge=1, le=10_000)
    """How many chunks to keep."""

    def build(self, resources: Resources) -> Reranker:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class MmrSpec(RerankerSpec):
    """Maximal marginal relevance: near the question, and unlike what was already picked."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense",)
    use: Literal["mmr"] = "mmr"
    relevance: float = Field(0.7, ge=0, le=1)
    """1 ranks by nearness to the question alone, 0 after the first pick by difference alone."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.mmr import MmrReranker

        return MmrReranker(resources, keep=self.keep, relevance=self.relevance)


class TemporalSpec(RerankerSpec):
    """By nearness to the question without its period, and by how well the years fit; else the ranking as it is."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense",)
    use: Literal["temporal"] = "temporal"
    date_field: str | None = None
    """The metadata field that holds a chunk's or document's year or date; without one, the years in its text count."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.temporal import TemporalReranker

        return TemporalReranker(resources, keep=self.keep, date_field=self.date_field)


class ScoringSpec(RerankerSpec):
    """What rerankers have in common that score one candidate after the other."""

    depth: int = Field(50, ge=1, le=10_000)
    """How many candidates to score; the others follow behind in the order they had."""
    margin: float | None = Field(None, ge=0, le=1)
    """Leave a ranking as it is where its first chunk leads the second by at least this share of the distance from the
    first to the last: the first stage is sure. Empty: never."""


class CrossEncoderSpec(ScoringSpec):
    """A model that reads question and passage together (arXiv 1901.04085); needs the extra `hf` and its weights."""

    use: Literal["cross-encoder"] = "cross-encoder"
    model: str = Field("cross-encoder/ms-marco-MiniLM-L6-v2", min_length=1)
    """A sentence-transformers `CrossEncoder` with one score: a name on the Hugging Face hub, or a folder."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    batch_size: int = Field(32, ge=1)
    """Pairs in one batch, of about the same length."""
    max_tokens: int | None = Field(None, ge=64)
    """A shorter window than the model's, question and special tokens included."""
    overlap: int = Field(64, ge=0)
    """Tokens that windows over a chunk share which does not fit; its best window counts (MaxP)."""
    activation: Literal["none", "sigmoid", "model"] = "none"
    """What makes a score of the model's output: nothing (logits), a number from 0 to 1, or what the model says."""
    instruction: str = ""
    """Put behind every question, for models trained to follow instructions: "Prefer court rulings"."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.models.weights import missing_package, missing_weights

        return missing_package("sentence_transformers", extra="hf") or missing_weights(
            self.model, allow_download=self.allow_download
        )

    def scorer(self, resources: Resources) -> PairScorer:
        """The model, shared with every stage that names it with the same options."""
        from rag.models.cross_encoder import SentenceTransformersCrossEncoder

        options = {
            name: getattr(self, name)
            for name in ("revision", "device", "batch_size", "max_tokens", "activation", "allow_download")
        }
        return resources.shared(
            ("cross-encoder", self.model, *options.values()),
            lambda: SentenceTransformersCrossEncoder(self.model, **options),
        )

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.cross_encoder import CrossEncoderReranker

        return CrossEncoderReranker(
            self.scorer(resources),
            keep=self.keep,
            depth=self.depth,
            overlap=self.overlap,
            margin=self.margin,
            instruction=self.instruction,
        )


class LateInteractionSpec(ScoringSpec):
    """Each token of the question looks for its best match in the chunk (MaxSim, arXiv 2004.12832).

    Without a `model` it takes the token states of the pipeline's embedder, which was not trained for it: a help on top
    of the first stage's scores, not instead of them.
    """

    use: Literal["late-interaction"] = "late-interaction"
    model: str | None = Field(None, min_length=1)
    """A sentence-transformers `MultiVectorEncoder` (a ColBERT): a folder, or a name on the Hugging Face hub; needs
    the extra `hf`. Empty: the token states of the pipeline's embedder."""
    weight: float | None = Field(0.5, gt=0)
    """How much MaxSim counts beside the first stage's score, each divided by its deviation; null: MaxSim alone."""
    prune: float | None = Field(None, ge=0)
    """Score only candidates with at least ``t - prune * |t|``, t being the first-stage score of the `keep`-th. Empty:
    all; a larger value prunes less."""
    patience: int | None = Field(None, ge=1)
    """Stop scoring when so many candidates in a row did not get among the best `keep`; empty: never."""
    cache_mib: int = Field(256, ge=0)
    """Memory for the token vectors of chunks that were found lately; a chunk of 160 tokens takes a quarter of a MiB."""
    device: str | None = None
    """For `model`: `cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    allow_download: bool = False
    """For `model`: fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.models.weights import missing_package, missing_weights

        if self.model is None:
            return None
        return missing_package("sentence_transformers", extra="hf") or missing_weights(
            self.model, allow_download=self.allow_download
        )

    def encoder(self, resources: Resources) -> TokenEncoder:
        """The encoder, shared with every stage that names it with the same options."""
        from rag.models.token_cache import CachedTokenEncoder
        from rag.models.token_encoder import EmbedderTokenEncoder, MultiVectorTokenEncoder

        def make() -> TokenEncoder:
            if self.model is None:
                return EmbedderTokenEncoder(resources.embedder)
            return MultiVectorTokenEncoder(self.model, device=self.device, allow_download=self.allow_download)

        key = ("token-encoder", self.model, self.device, self.allow_download)
        encoder = resources.shared(key, make)
        kept = self.cache_mib << 20
        return resources.shared((*key, kept), lambda: CachedTokenEncoder(encoder, kept_bytes=kept))

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.late_interaction import LateInteractionReranker

        return LateInteractionReranker(
            self.encoder(resources),
            keep=self.keep,
            depth=self.depth,
            weight=self.weight,
            prune=self.prune,
            patience=self.patience,
            margin=self.margin,
        )


class OrderSpec(RerankerSpec):
    """The order in which a language model reads: the best at both ends, or last. Stands at the end of the list."""

    use: Literal["order"] = "order"
    keep: int = Field(8, ge=1, le=10_000)
    """How many chunks to keep; no more than ``ask.compress`` does, which would cut from the end."""
    layout: Literal["ends", "last"] = "ends"
    """`ends`: the best first, the second best last, and so on inwards (arXiv 2410.05983); `last`: the best last."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.order import OrderReranker

        return OrderReranker(keep=self.keep, layout=self.layout)


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
    prompt: str = "rank"
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
    words: int = Field(300, ge=10)
    """Words shown of each passage; longer ones collect more attention, so all are cut alike."""
    heads: Literal["all", "llama-3.1-8b", "llama-3.2-3b", "llama-3.2-1b", "qwen2.5-7b"] | tuple[HeadName, ...] = "all"
    """All heads, those published for a model (QRHead, arXiv 2506.09944), or a list of layer-head: ``["14-22"]``. A list
    belongs to one checkpoint."""
    margin: float | None = Field(None, ge=0, le=1)
    """Leave a ranking as it is where its first chunk leads the second by at least this share of the distance from the
    first to the last. Empty: never."""
    prompt: str = "attend"
    """The prompt template, by name."""

    def build(self, resources: Resources) -> Reranker:
        from rag.models.template import Template
        from rag.rerank.attention import FIELDS, AttentionReranker
        from rag.rerank.heads import PUBLISHED, parse_heads

        heads = parse_heads(", ".join(self.heads)) if isinstance(self.heads, tuple) else PUBLISHED.get(self.heads)
        return AttentionReranker(
            resources.llm,
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            keep=self.keep,
            depth=self.depth,
            words=self.words,
            heads=heads,
            margin=self.margin,
        )


BUILT_IN: tuple[type[RerankerSpec], ...] = (
    MmrSpec,
    TemporalSpec,
    CrossEncoderSpec,
    LateInteractionSpec,
    ListwiseSpec,
    AttentionSpec,
    OrderSpec,
)
