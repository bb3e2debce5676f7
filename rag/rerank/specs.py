"""The options of every reranker that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.models.cross_encoder import PairScorer
    from rag.models.token_encoder import TokenEncoder
    from rag.rerank.base import Reranker
    from rag.resources import Resources


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


BUILT_IN: tuple[type[RerankerSpec], ...] = (MmrSpec, TemporalSpec, CrossEncoderSpec)
