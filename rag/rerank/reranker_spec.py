"""The base of every reranker's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


class ScoringSpec(RerankerSpec):
    """What rerankers have in common that score one candidate after the other."""

    depth: int = Field(50, ge=1, le=10_000)
    """How many candidates to score; the others follow behind in the order they had."""
    margin: float | None = Field(None, ge=0, le=1)
    """Leave a ranking as it is where its first chunk leads the second by at least this share of the distance from the
    first to the last: the first stage is sure. Empty: never."""
