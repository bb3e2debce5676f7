"""The options of every retriever and every fuser that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rag.config.dump import use_name
from rag.config.spec import Spec
from rag.retrieve.encoded_specs import ENCODED
from rag.retrieve.feedback_specs import FEEDBACK
from rag.retrieve.retriever_spec import RetrieverSpec as RetrieverSpec
from rag.retrieve.sources_specs import SEVERAL_INDEXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.resources import Resources
    from rag.retrieve.base import Fuser, Retriever

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DenseRetrieverSpec(RetrieverSpec):
    """The chunks whose vectors are nearest to the question's."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.dense",)
    use: Literal["dense"] = "dense"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.dense import DenseRetriever

        return DenseRetriever(resources, k=self.k)


class SparseRetrieverSpec(RetrieverSpec):
    """The chunks that share the question's words, weighted by how rare these are (BM25)."""

    needs: ClassVar[tuple[str, ...]] = ("ingest.index.sparse",)
    use: Literal["sparse"] = "sparse"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.sparse import SparseRetriever

        return SparseRetriever(resources, k=self.k)


BUILT_IN_RETRIEVERS: tuple[type[RetrieverSpec], ...] = (
    DenseRetrieverSpec,
    SparseRetrieverSpec,
    *ENCODED,
    *FEEDBACK,
    *SEVERAL_INDEXES,
)


class FuserSpec(Spec):
    """Options of what makes one ranking of the retrievers' rankings."""

    use: str
    """The component's name."""
    keep: int = Field(20, ge=1, le=10_000)
    """How many chunks to keep."""

    def build(self, resources: Resources) -> Fuser:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class WeighingSpec(FuserSpec):
    """Options of a fuser that adds up what the retrievers say."""

    weights: tuple[Weight, ...] | None = None
    """One weight for each retriever, in their order; all 1 when absent."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        retrievers = len(pipeline.specs("ask.retrieve"))
        if self.weights is not None and len(self.weights) != retrievers:
            expected = f"expected one weight for each of {retrievers} retrievers"
            yield (*path, "weights"), f"{expected}, got {len(self.weights)}"


class ZScoreSpec(WeighingSpec):
    """Sum of standardised scores. Over the collection, a retriever that tells nothing apart adds nothing."""

    use: Literal["zscore"] = "zscore"
    over: Literal["collection", "list"] = "collection"
    """What a score is standardised over: all chunks of the index, or the chunks that were retrieved."""

    def build(self, resources: Resources) -> Fuser:
        if self.over == "collection":
            from rag.retrieve.zscore import CollectionZScoreFuser

            return CollectionZScoreFuser(keep=self.keep, weights=self.weights)
        from rag.retrieve.zscore import ListZScoreFuser

        return ListZScoreFuser(keep=self.keep, weights=self.weights)


class LogOddsSpec(WeighingSpec):
    """Sum of log-odds: how improbable a score is among those of all chunks, as if retrievers were independent.

    Scores are taken to be spread as Student's t; needs no labels. Between two retrievers it rewards a chunk that both
    think well of more than `zscore` does, which hardly differs on average (docs/multivector-and-learned-sparse.md).
    """

    use: Literal["logodds"] = "logodds"
    degrees: int = Field(12, ge=4, le=100, multiple_of=2)
    """Degrees of freedom: fewer allow for more chunks far above the mean, and so make less of each; even."""
    clip: float = Field(1e-12, ge=1e-15, lt=0.5)
    """No probability is nearer to 0 or 1. A larger value levels the best chunks: 1e-6 does harm."""

    def build(self, resources: Resources) -> Fuser:
        from rag.retrieve.logodds import LogOddsFuser

        return LogOddsFuser(keep=self.keep, degrees=self.degrees, clip=self.clip, weights=self.weights)


class RrfSpec(WeighingSpec):
    """Reciprocal rank fusion: the sum of 1 / (constant + rank). Looks at ranks alone."""

    use: Literal["rrf"] = "rrf"
    constant: int = Field(60, ge=1)
    """Flattens the difference between the first and the tenth."""

    def build(self, resources: Resources) -> Fuser:
        from rag.retrieve.rrf import RrfFuser

        return RrfFuser(keep=self.keep, constant=self.constant, weights=self.weights)


class WeightedSpec(WeighingSpec):
    """Sum of scores scaled to 0..1 by the smallest and largest of each list."""

    use: Literal["weighted"] = "weighted"

    def build(self, resources: Resources) -> Fuser:
        from rag.retrieve.weighted import WeightedFuser

        return WeightedFuser(keep=self.keep, weights=self.weights)


class DbsfSpec(WeighingSpec):
    """Distribution-based score fusion: each list scaled by its mean and three standard deviations."""

    use: Literal["dbsf"] = "dbsf"

    def build(self, resources: Resources) -> Fuser:
        from rag.retrieve.dbsf import DbsfFuser

        return DbsfFuser(keep=self.keep, weights=self.weights)


class SingleSpec(FuserSpec):
    """The ranking of a single retriever, as it is. Refuses more than one."""

    use: Literal["single"] = "single"

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        retrievers = len(pipeline.specs("ask.retrieve"))
        if retrievers > 1:
            yield (*path, "use"), f"'single' takes one retriever, ask.retrieve has {retrievers}"
        transforms = pipeline.specs("ask.transform")
        if several := [use_name(spec) for spec in transforms if "several-queries" in spec.traits]:
            yield (*path, "use"), f"'single' takes one query, {', '.join(map(repr, several))} makes several"

    def build(self, resources: Resources) -> Fuser:
        from rag.retrieve.single import SingleFuser

        return SingleFuser(keep=self.keep)


BUILT_IN_FUSERS: tuple[type[FuserSpec], ...] = (
    ZScoreSpec,
    LogOddsSpec,
    RrfSpec,
    WeightedSpec,
    DbsfSpec,
    SingleSpec,
)
