"""The options of every compressor that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.compress.base import Compressor
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


class SentencesSpec(CompressorSpec):
    """The sentences nearest to the question, up to a budget, in the order of their documents."""

    use: Literal["sentences"] = "sentences"
    keep: int = Field(20, ge=1, le=1_000)
    """How many of the best chunks to take sentences from."""
    tokens: int = Field(1200, ge=1)
    """How much text to keep, in the embedder's tokens."""
    document_weight: float = Field(0.3, ge=0)
    """How much the chunk's own nearness to the question counts beside the sentence's."""
    duplicate_cosine: float = Field(0.9, gt=0, le=1)
    """A sentence nearer than this to one already kept is left out."""

    def build(self, resources: Resources) -> Compressor:
        from rag.compress.sentences import SentenceCompressor

        return SentenceCompressor(
            resources,
            keep=self.keep,
            tokens=self.tokens,
            document_weight=self.document_weight,
            duplicate_cosine=self.duplicate_cosine,
        )


BUILT_IN: tuple[type[CompressorSpec], ...] = (WholeChunksSpec, SentencesSpec)
