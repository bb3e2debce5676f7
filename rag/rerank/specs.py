"""The options of every reranker that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.models.token_specs import TokenEncoderOptions
from rag.rerank.llm_specs import LLM
from rag.rerank.reranker_spec import LayoutSpec, ScoringSpec
from rag.rerank.reranker_spec import RerankerSpec as RerankerSpec

if TYPE_CHECKING:
    from rag.models.cross_encoder import PairScorer
    from rag.rerank.base import Reranker
    from rag.rerank.token_matches import TokenMatches
    from rag.resources import Resources


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
    """Weighs each chunk's score by how well its years fit the question's period; without one, the ranking stays."""

    use: Literal["temporal"] = "temporal"
    date_field: str | None = None
    """The metadata field that holds a chunk's or document's year or date; without one, the years in its text count."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.temporal import TemporalReranker

        return TemporalReranker(resources, keep=self.keep, date_field=self.date_field)


class PairModelSpec(ScoringSpec):
    """Which model reads question and passage together; needs the extra `hf` and its weights."""

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
    activation: Literal["none", "sigmoid", "model"] = "none"
    """What makes a score of the model's output: nothing (logits), a number from 0 to 1, or what the model says."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

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


class CrossEncoderSpec(PairModelSpec):
    """A model that reads question and passage together (arXiv 1901.04085); needs the extra `hf` and its weights."""

    use: Literal["cross-encoder"] = "cross-encoder"
    overlap: int = Field(64, ge=0)
    """Tokens that windows over a chunk share which does not fit; its best window counts (MaxP)."""
    instruction: str = ""
    """Put behind every question, for models trained to follow instructions: "Prefer court rulings"."""

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


class IdcmSpec(PairModelSpec):
    """A cascade within long chunks: a cheap look at every window, a cross-encoder for the best (arXiv 2105.09816)."""

    use: Literal["idcm"] = "idcm"
    cheap: Literal["bm25", "embedder"] = "bm25"
    """What looks at every window: the question's words, or the pipeline's embedder."""
    windows: int = Field(4, ge=1)
    """How many windows of a chunk the cross-encoder reads."""
    size: int = Field(50, ge=8)
    """Tokens of a window."""
    overlap: int = Field(7, ge=0)
    """Tokens more on either side of a window."""
    weights: tuple[float, ...] = Field((1.0,), min_length=1)
    """What the windows' scores count, best first: ``[1]`` is the best window alone; others have to be learned."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.idcm import IdcmReranker, VectorWindows, WordWindows

        return IdcmReranker(
            self.scorer(resources),
            WordWindows(resources) if self.cheap == "bm25" else VectorWindows(resources),
            keep=self.keep,
            depth=self.depth,
            windows=self.windows,
            size=self.size,
            overlap=self.overlap,
            weights=self.weights,
            margin=self.margin,
        )


class LateInteractionSpec(TokenEncoderOptions, ScoringSpec):
    """Each token of the question looks for its best match in the chunk (MaxSim, arXiv 2004.12832).

    Without a `model` it takes the token states of the pipeline's embedder, which was not trained for it: a help on top
    of the first stage's scores, not instead of them.
    """

    use: Literal["late-interaction"] = "late-interaction"
    stored: bool = False
    """Read the chunks' token vectors from the index: `rag ingest` makes and keeps them. Otherwise chunks are encoded
    when they are found."""
    weight: float | None = Field(0.5, gt=0)
    """How much MaxSim counts beside the first stage's score, each divided by its deviation; null: MaxSim alone."""
    match: float | None = Field(0.5, ge=-1, le=1)
    """Count a token of the question by how few candidates have a token this near to it (cosine), as inverse document
    frequency does for words; null counts all alike, as a `model` trained for MaxSim expects."""
    prune: float | None = Field(None, ge=0)
    """Score only candidates with at least ``t - prune * |t|``, t being the first-stage score of the `keep`-th. Empty:
    all; a larger value prunes less."""
    patience: int | None = Field(None, ge=1)
    """Stop scoring when so many candidates in a row did not get among the best `keep`; empty: never."""
    cache_mib: int = Field(256, ge=0)
    """Memory for the token vectors of chunks that were encoded lately, where they are not `stored`; a chunk of 160
    tokens takes a quarter of a MiB."""

    def prepare(self, resources: Resources) -> None:
        if self.stored:
            from rag.rerank.token_matches import keep_matches

            keep_matches(resources, self)

    def matches(self, resources: Resources) -> TokenMatches:
        """What compares questions with chunks; its encoder is shared with every stage that has the same options."""
        from rag.models.token_cache import CachedTokenEncoder
        from rag.rerank.token_matches import EncodedMatches, StoredMatches

        encoder = self.token_encoder(resources)
        if self.stored:
            return StoredMatches(resources, encoder, made_by=lambda: self.made_by(resources))
        kept = self.cache_mib << 20
        return EncodedMatches(
            resources.shared(("cached", *self.encoder_key, kept), lambda: CachedTokenEncoder(encoder, kept_bytes=kept))
        )

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.late_interaction import LateInteractionReranker

        return LateInteractionReranker(
            self.matches(resources),
            keep=self.keep,
            depth=self.depth,
            weight=self.weight,
            match=self.match,
            prune=self.prune,
            patience=self.patience,
            margin=self.margin,
        )


class TrainedSpec(ScoringSpec):
    """Adds up signs that speak for a candidate, each by a weight that `rag train reranker` found."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense", "ingest.index.sparse")
    use: Literal["trained"] = "trained"
    head: str = Field(min_length=1)
    """A `.safetensors` file of `rag train reranker`, for the pipeline's embedder, or the name of one that ships."""
    stored: bool = False
    """For heads that weigh token vectors: read those of the chunks from the index, where `rag ingest` makes and keeps
    them. Otherwise chunks are encoded when they are found."""

    @property
    def tokens(self) -> LateInteractionSpec:
        """The options by which it compares tokens."""
        return LateInteractionSpec(stored=self.stored)

    def missing(self) -> str | None:
        from rag.models.head_files import missing_head

        return missing_head(self.head, made_by="rag train reranker")

    def prepare(self, resources: Resources) -> None:
        self.tokens.prepare(resources)

    def build(self, resources: Resources) -> Reranker:
        from rag.models.head_files import head_file
        from rag.rerank.trained import TrainedReranker

        return TrainedReranker(
            resources,
            self.tokens.matches(resources),
            head=head_file(self.head),
            keep=self.keep,
            depth=self.depth,
            margin=self.margin,
        )


class OrderSpec(LayoutSpec):
    """The order in which a language model reads: the best at both ends, or last. Stands at the end of the list."""

    use: Literal["order"] = "order"
    layout: Literal["ends", "last"] = "ends"
    """`ends`: the best first, the second best last, and so on inwards (arXiv 2410.05983); `last`: the best last."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.order import OrderReranker

        return OrderReranker(keep=self.keep, layout=self.layout)


class CanonicalOrderSpec(LayoutSpec):
    """Lays the chunks out as they were served before, so that an engine's prefix cache finds them (arXiv 2606.19667).

    For a language model with prefix caching (vLLM). Stands at the end of the list.
    """

    use: Literal["canonical-order"] = "canonical-order"
    keep: int = Field(8, ge=1, le=100)
    """How many chunks to keep; no more than ``ask.compress`` does, which would cut from the end."""
    displacement: int | None = Field(3, ge=0)
    """By how many ranks a chunk may move; null: to any place."""
    policy: Literal["served", "frequency"] = "served"
    """`served`: along the longest order served so far that fits; `frequency`: most often served first."""
    remembered: int = Field(4096, ge=1)
    """How many orders to remember."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.canonical import CanonicalOrderReranker

        return CanonicalOrderReranker(
            keep=self.keep, displacement=self.displacement, policy=self.policy, remembered=self.remembered
        )


class InstructionsSpec(RerankerSpec):
    """What a question excludes in so many words ("not about Austria") is taken out of its ranking."""

    use: Literal["instructions"] = "instructions"
    instruction: str = ""
    """Holds for every question, as if it stood behind it: "Exclude press releases." """
    action: Literal["drop", "demote"] = "drop"
    """Chunks that have what is excluded are left out, or follow behind the others."""
    fields: tuple[str, ...] = ()
    """Metadata fields whose value is compared too: with ``[author]``, "not by Ann Lee" excludes by author."""

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.instructions import InstructionsReranker

        return InstructionsReranker(
            resources, keep=self.keep, instruction=self.instruction, action=self.action, fields=self.fields
        )


class DedupeSpec(RerankerSpec):
    """Hides passages whose text is nearly that of a better one; the trace says how many. Broder, 1997."""

    use: Literal["dedupe"] = "dedupe"
    keep: int = Field(20, ge=1, le=10_000)
    """How many chunks to keep."""
    least: float = Field(0.8, gt=0, le=1)
    """The resemblance from which two texts are near duplicates: shared runs of five characters over all of both."""
    stored: bool = False
    """Read MinHash signatures from the index: `rag ingest` makes and keeps them, 126 bytes a chunk. Otherwise they are
    made when a chunk is found."""

    def prepare(self, resources: Resources) -> None:
        if self.stored:
            from rag.index.signatures import kept_signatures

            kept_signatures(resources.index.reader())

    def build(self, resources: Resources) -> Reranker:
        from rag.rerank.dedupe import ComputedSignatures, DedupeReranker, StoredSignatures

        signatures = StoredSignatures(resources) if self.stored else ComputedSignatures()
        return DedupeReranker(signatures, keep=self.keep, least=self.least)


BUILT_IN: tuple[type[RerankerSpec], ...] = (
    MmrSpec,
    DedupeSpec,
    TemporalSpec,
    CrossEncoderSpec,
    IdcmSpec,
    LateInteractionSpec,
    TrainedSpec,
    *LLM,
    InstructionsSpec,
    OrderSpec,
    CanonicalOrderSpec,
)
