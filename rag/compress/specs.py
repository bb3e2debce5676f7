"""The options of every compressor that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.compress.base import Compressor
    from rag.compress.budget import Budget
    from rag.compress.extract import SentenceSelector
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
    embed: int = Field(24, ge=0)
    """How many sentences to embed, the best by the other signs; the others count as about as near as their chunk."""
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


BUILT_IN: tuple[type[CompressorSpec], ...] = (WholeChunksSpec, SentencesSpec, HybridSpec, Bm25Spec)
