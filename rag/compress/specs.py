"""The options of every compressor that ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from rag.config.spec import PROMPT, PromptName, Spec
from rag.models.heads_option import HeadName, HeadsPath, missing_heads

if TYPE_CHECKING:
    from rag.compress.base import Compressor
    from rag.compress.budget import Budget
    from rag.compress.extract import SentenceSelector
    from rag.models.attention_heads import Heads
    from rag.models.dual_encoder import DualEncoder
    from rag.resources import Resources


class CompressorSpec(Spec):
    """Options of what makes evidence of the ranked chunks."""

    use: str
    """The component's name."""

    def build(self, resources: Resources) -> Compressor:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class WholeChunksSpec(CompressorSpec):
    """No compression: the best chunks, whole."""

    use: Literal["none"] = "none"
    keep: int = Field(8, ge=1, le=1_000)
    """How many chunks to keep."""

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.whole import WholeChunks

        return WholeChunks(resources, keep=self.keep)


class BudgetedSpec(CompressorSpec):
    """What compressors have in common that keep the best sentences up to a budget."""

    keep: int = Field(20, ge=1, le=1_000)
    """How many of the best chunks to take sentences from."""
    tokens: int | None = Field(1200, ge=1)
    """How much text to keep at most, in the embedder's tokens; `null` for no such limit."""
    ratio: float | None = Field(None, gt=0, le=1)
    """How much text to keep at most, as a share of the characters of those chunks: 0.35."""

    @model_validator(mode="after")
    def _some_limit(self) -> BudgetedSpec:
        if self.tokens is None and self.ratio is None:
            raise ValueError("give tokens or ratio; `none` keeps whole chunks")
        return self

    @property
    def budget(self) -> Budget:
        from rag.compress.budget import Budget

        return Budget(tokens=self.tokens, ratio=self.ratio)

    def _extractive(self, resources: Resources, selector: SentenceSelector) -> Compressor:
        from rag.compress.extract import ExtractiveCompressor

        return ExtractiveCompressor(resources, selector, keep=self.keep)


class SentencesSpec(BudgetedSpec):
    """The sentences nearest to the question, up to a budget, in the order of their documents."""

    use: Literal["sentences"] = "sentences"
    document_weight: float = Field(0.3, ge=0)
    """How much the chunk's own nearness to the question counts beside the sentence's."""
    duplicate_cosine: float = Field(0.9, gt=0, le=1)
    """A sentence nearer than this to one already kept is left out."""

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.sentences import NearestSentences

        return self._extractive(
            resources,
            NearestSentences(
                resources,
                budget=self.budget,
                document_weight=self.document_weight,
                duplicate_cosine=self.duplicate_cosine,
            ),
        )


class HybridSpec(BudgetedSpec):
    """Sentences by meaning, words, rank, place under their heading, and what the best ones name; up to a budget.

    Keeps most of what answers, above all where that stands in two documents.
    """

    use: Literal["hybrid"] = "hybrid"
    nearness_weight: float = Field(1.0, ge=0)
    """How much the sentence's nearness to the question counts. If this and the next are 0, no model is run."""
    chunk_weight: float = Field(0.3, ge=0)
    """How much the chunk's nearness to the question counts."""
    words_weight: float = Field(0.5, ge=0)
    """How much the question's words in the sentence count (BM25, the best sentence's being 1)."""
    lead_weight: float = Field(0.3, ge=0)
    """How much it counts that a sentence stands right under a heading."""
    rank_weight: float = Field(0.1, ge=0)
    """How much the rank of the chunk counts."""
    bridge_weight: float = Field(0.4, ge=0)
    """How much it counts that one of the best sentences names the heading over this one."""
    embed: int = Field(0, ge=0)
    """How many sentences to embed, the best by the other signs; the others count as about as near as their chunk. The
    chunk's vector is in the index; 24 more cost some thirty times as much and keep little more."""
    duplicate_cosine: float = Field(0.9, gt=0, le=1)
    """A sentence nearer than this to one already kept is left out."""

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.hybrid import HybridSentences, Weights

        names = ("nearness", "chunk", "words", "lead", "rank", "bridge")
        weights = Weights(**{name: getattr(self, f"{name}_weight") for name in names})
        selector = HybridSentences(
            resources,
            budget=self.budget,
            weights=weights,
            embed=self.embed,
            duplicate_cosine=self.duplicate_cosine,
        )
        return self._extractive(resources, selector)


class TrainedSpec(BudgetedSpec):
    """The sentences that a head of `rag train compressor` finds needed, up to a budget; embeds the question alone."""

    use: Literal["trained"] = "trained"
    head: str = Field(min_length=1)
    """A `.safetensors` file of `rag train compressor`, for the pipeline's embedder, or the name of one that ships."""

    def missing(self) -> str | None:
        from rag.models.head_files import missing_head

        return missing_head(self.head, made_by="rag train compressor")

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.trained import TrainedSentences
        from rag.models.head_files import head_file

        return self._extractive(resources, TrainedSentences(resources, head=head_file(self.head), budget=self.budget))


class Bm25Spec(BudgetedSpec):
    """The sentences with most of the question's words, up to a budget; no model is run."""

    use: Literal["bm25"] = "bm25"
    k1: float = Field(1.5, ge=0)
    """How fast a word that stands again in a sentence stops adding."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long sentences are held back: 0 not at all, 1 in full."""

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.bm25 import WordedSentences

        return self._extractive(resources, WordedSentences(resources, budget=self.budget, k1=self.k1, b=self.b))


class CrossEncoderSpec(BudgetedSpec):
    """The sentences that a cross-encoder scores best, up to a budget; needs the extra `hf` and its weights."""

    use: Literal["cross-encoder"] = "cross-encoder"
    model: str = Field("cross-encoder/ms-marco-MiniLM-L6-v2", min_length=1)
    """A sentence-transformers `CrossEncoder` with one score: a name on the Hugging Face hub, or a folder."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    batch_size: int = Field(32, ge=1)
    """Sentences in one batch, of about the same length."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        return _missing("sentence_transformers", self.model, allow_download=self.allow_download)

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.cross_encoder import CrossEncodedSentences
        from rag.models.cross_encoder import SentenceTransformersCrossEncoder

        # The key a reranker uses for the same model with the same options: it is loaded once.
        scorer = resources.shared(
            (
                "cross-encoder",
                self.model,
                self.revision,
                self.device,
                self.batch_size,
                None,
                "none",
                self.allow_download,
            ),
            lambda: SentenceTransformersCrossEncoder(
                self.model,
                revision=self.revision,
                device=self.device,
                batch_size=self.batch_size,
                allow_download=self.allow_download,
            ),
        )
        return self._extractive(resources, CrossEncodedSentences(resources, scorer, budget=self.budget))


class RecompSpec(CompressorSpec):
    """The few sentences nearest by an encoder trained to find what helps the answer (RECOMP, arXiv 2310.04408)."""

    use: Literal["recomp"] = "recomp"
    keep: int = Field(20, ge=1, le=1_000)
    """How many of the best chunks to take sentences from."""
    sentences: int = Field(2, ge=1)
    """How many sentences to keep."""
    model: str | None = Field("fangyuan/hotpotqa_extractive_compressor", min_length=1)
    """An encoder on the Hugging Face hub, or a folder; ``fangyuan/nq_extractive_compressor`` and
    ``fangyuan/tqa_extractive_compressor`` are the authors' others. `null` takes the pipeline's embedder, which was not
    trained for it."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for `cpu`."""
    batch_size: int = Field(32, ge=1)
    """Sentences in one batch, of about the same length."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        if self.model is None:
            return None
        return _missing("transformers", self.model, allow_download=self.allow_download)

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.extract import ExtractiveCompressor
        from rag.compress.recomp import EmbedderAsDualEncoder, RecompSentences

        encoder = EmbedderAsDualEncoder(resources) if self.model is None else self._encoder(resources, self.model)
        return ExtractiveCompressor(resources, RecompSentences(encoder, count=self.sentences), keep=self.keep)

    def _encoder(self, resources: Resources, model: str) -> DualEncoder:
        from rag.models.dual_encoder import MeanPooledEncoder

        options = (self.revision, self.device, self.batch_size, self.allow_download)
        return resources.shared(
            ("dual-encoder", model, *options),
            lambda: MeanPooledEncoder(
                model,
                revision=self.revision,
                device=self.device,
                batch_size=self.batch_size,
                allow_download=self.allow_download,
            ),
        )


class ExitSpec(CompressorSpec):
    """A language model says of every sentence whether it is useful (EXIT, arXiv 2412.12559); one short request each.

    Any server that gives token probabilities will do; the authors' adapter is ``doubleyyh/exit-gemma-2b``.
    """

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["exit"] = "exit"
    keep: int = Field(8, ge=1, le=1_000)
    """How many of the best chunks to ask about, sentence by sentence."""
    threshold: float = Field(0.5, ge=0, le=1)
    """How probable "Yes" must be beside "No" for a sentence to be kept."""
    context_tokens: int = Field(4096, ge=256)
    """How long a prompt may get, estimated; a longer chunk is cut around the sentence."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many requests are with the model at the same time."""
    prompt: PromptName = "exit"
    """The prompt template, by name; the shipped one is what the authors' adapter was trained on."""

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.exit import FIELDS, ExitSentences
        from rag.compress.extract import ExtractiveCompressor
        from rag.models.template import Template

        selector = ExitSentences(
            resources.llm,
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            threshold=self.threshold,
            context_tokens=self.context_tokens,
            concurrency=self.concurrency,
        )
        return ExtractiveCompressor(resources, selector, keep=self.keep)


class InfiniRetriSpec(CompressorSpec):
    """The sentences a local language model looks at, reading stretch by stretch (InfiniRetri, arXiv 2502.12962)."""

    needs: ClassVar[tuple[str, ...]] = ("llm", "attention")
    use: Literal["infiniretri"] = "infiniretri"
    keep: int = Field(100, ge=1, le=10_000)
    """How many of the best chunks to read."""
    heads: Literal["last"] | tuple[HeadName, ...] | HeadsPath = "last"
    """Whose attention counts: the last layer's heads, as in the paper, a list of layer-head, or a file of
    `rag heads detect`."""
    best: int = Field(16, ge=1)
    """How many heads of a file count, the best ones."""
    prompt: Annotated[str | None, PROMPT] = None
    """A prompt template of the generate stage: chunks are shown as the answer's prompt shows them, and with `reuse` in
    `llm` what was read there is not read again. Empty: sentences one a line, as in the paper."""
    order: Literal["ranked", "canonical"] = "ranked"
    """In which the chunks are read: as ranked, or by document and place: with `reuse` in `llm`, attention is not
    computed again where a reranker has shown the same chunks in the canonical order."""
    size: int = Field(1024, ge=64)
    """Tokens of a stretch."""
    tokens: int = Field(300, ge=1)
    """How many of the context's tokens count as looked at; sentences that have one are kept whole."""
    width: int = Field(8, ge=1)
    """Tokens over which attention is averaged."""

    def missing(self) -> str | None:
        return missing_heads(self.heads)

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.extract import ExtractiveCompressor
        from rag.compress.infiniretri import AttendedSentences
        from rag.models.attention_prompt import FIELDS
        from rag.models.template import Template

        template = None
        if self.prompt is not None:
            template = Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS)
        selector = AttendedSentences(
            resources.llm,
            heads=self._heads(),
            template=template,
            order=self.order,
            size=self.size,
            tokens=self.tokens,
            width=self.width,
        )
        return ExtractiveCompressor(resources, selector, keep=self.keep)

    def _heads(self) -> Heads | Literal["last"]:
        from rag.models.attention_heads import BestOf, head_of

        if self.heads == "last":
            return "last"
        if isinstance(self.heads, tuple):
            return [head_of(name) for name in self.heads]
        return BestOf(Path(self.heads), self.best)


def _missing(package: str, model: str, *, allow_download: bool) -> str | None:
    from rag.config.weights import missing_package, missing_weights

    return missing_package(package, extra="hf") or missing_weights(model, allow_download=allow_download)


BUILT_IN: tuple[type[CompressorSpec], ...] = (
    WholeChunksSpec,
    SentencesSpec,
    HybridSpec,
    TrainedSpec,
    Bm25Spec,
    CrossEncoderSpec,
    RecompSpec,
    ExitSpec,
    InfiniRetriSpec,
)
