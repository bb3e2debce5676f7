"""The options of every reranker that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
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


BUILT_IN: tuple[type[RerankerSpec], ...] = (MmrSpec,)
