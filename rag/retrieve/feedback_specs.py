"""The options of the retrievers that search a second time by what they found first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.index.specs import Bm25Spec, SparseIndexSpec
from rag.retrieve.retriever_spec import RetrieverSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.resources import Resources
    from rag.retrieve.base import Retriever


class Rm3Spec(RetrieverSpec):
    """BM25 by the question's words and those of the chunks that these find first (RM3)."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.sparse",)
    use: Literal["rm3"] = "rm3"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""
    feedback: int = Field(10, ge=1, le=100)
    """How many of the first chunks give words."""
    terms: int = Field(20, ge=1, le=200)
    """How many words they give."""
    original: float = Field(0.8, ge=0, le=1)
    """The weight of the question's own words; the rest is that of the others. 0.5 is usual, and drifts further."""
    common: float = Field(0.1, gt=0, le=1)
    """Words of more than this share of all chunks are not taken."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        sparse = pipeline.get("ingest.index.sparse", SparseIndexSpec)
        if sparse is not None and not isinstance(sparse, Bm25Spec):
            yield (*path, "use"), f"'rm3' weighs the terms of 'bm25', ingest.index.sparse is {sparse.use!r}"

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.rm3 import Rm3Retriever

        return Rm3Retriever(
            resources,
            k=self.k,
            feedback=self.feedback,
            terms=self.terms,
            original=self.original,
            common=self.common,
        )


class VectorPrfSpec(RetrieverSpec):
    """The chunks nearest to the mean of the question's vector and those of the chunks it finds first."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense",)
    use: Literal["vector-prf"] = "vector-prf"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""
    feedback: int = Field(3, ge=1, le=100)
    """How many of the first chunks are averaged in."""

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.prf import VectorFeedback, average

        return VectorFeedback(resources, k=self.k, first=self.feedback, refine=average, origin="vector-prf")


class RocchioSpec(RetrieverSpec):
    """The chunks nearest to a weighted sum of the question's vector and those of the chunks it finds first."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense",)
    use: Literal["rocchio"] = "rocchio"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve, the first time as well."""
    feedback: int = Field(5, ge=1, le=100)
    """How many of the first, and of the last, chunks count."""
    alpha: float = Field(0.8, ge=0, allow_inf_nan=False)
    """The weight of the question; 0.4 is usual, and drifts further."""
    beta: float = Field(0.2, ge=0, allow_inf_nan=False)
    """The weight of the first chunks; 0.6 is usual."""
    gamma: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The weight against the last chunks."""

    def build(self, resources: Resources) -> Retriever:
        from functools import partial

        from rag.retrieve.prf import VectorFeedback, rocchio

        refine = partial(rocchio, feedback=self.feedback, alpha=self.alpha, beta=self.beta, gamma=self.gamma)
        first = max(self.k, 2 * self.feedback) if self.gamma else self.feedback
        return VectorFeedback(resources, k=self.k, first=first, refine=refine, origin="rocchio")


class GqrSpec(RetrieverSpec):
    """Dense retrieval by a question vector that is moved towards what BM25 says (guided query refinement)."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense", "ingest.index.sparse")
    use: Literal["gqr"] = "gqr"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""
    candidates: int = Field(10, ge=1, le=1000)
    """How many chunks of each retriever guide it."""
    steps: int = Field(50, ge=0, le=1000)
    """How many gradient steps."""
    rate: float = Field(0.0025, gt=0, le=1)
    """How far a step goes."""
    scope: Literal["candidates", "index"] = "candidates"
    """What the moved vector ranks: the chunks that guided it, as published, or everything in a second search."""

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.gqr import GqrRetriever

        return GqrRetriever(
            resources,
            k=self.k,
            candidates=self.candidates,
            steps=self.steps,
            rate=self.rate,
            scope=self.scope,
        )


FEEDBACK: tuple[type[RetrieverSpec], ...] = (Rm3Spec, VectorPrfSpec, RocchioSpec, GqrSpec)
