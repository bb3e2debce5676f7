"""The base of every reranker's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from rag.config.dump import use_name
from rag.config.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.rerank.base import Reranker
    from rag.resources import Resources


class RerankerSpec(Spec):
    """Options of what orders the fused ranking again."""

    use: str
    """The component's name."""
    keep: int = Field(10, ge=1, le=10_000)
    """How many chunks to keep."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        retrievers = [*pipeline.specs("ask.retrieve"), *pipeline.specs("ask.dynamic.elsewhere")]
        elsewhere = [use_name(spec) for spec in retrievers if "other-indexes" in spec.traits]
        if elsewhere and "ingest.index.dense" in self.needs:
            message = f"{self.use!r} compares vectors of the pipeline's own index"
            yield (*path, "use"), f"{message}, {elsewhere[0]!r} gives chunks of others"

    def prepare(self, resources: Resources) -> None:
        """Make what it reads beside the index of every chunk that lacks it; called when an ingest has committed."""

    def build(self, resources: Resources) -> Reranker:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class LayoutSpec(RerankerSpec):
    """What rerankers have in common that place chunks for the reader, whatever their scores."""

    keep: int = Field(8, ge=1, le=10_000)
    """How many chunks to keep; no more than ``ask.compress`` does, which would cut from the end."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        if path[-1] != len(pipeline.specs("ask.rerank")) - 1:
            yield (*path, "use"), f"{self.use!r} must be the last of ask.rerank: what follows undoes it"
            return
        kept = pipeline.get("ask.compress.keep", int)
        if kept is not None and kept < self.keep:
            message = f"ask.compress keeps {kept} chunks and would cut from the end, where {self.use!r} puts good ones"
            yield (*path, "keep"), f"expected at most {kept}, got {self.keep}: {message}"


class ScoringSpec(RerankerSpec):
    """What rerankers have in common that score one candidate after the other."""

    depth: int = Field(50, ge=1, le=10_000)
    """How many candidates to score; the others follow behind in the order they had."""
    margin: float | None = Field(None, ge=0, le=1)
    """Leave a ranking as it is where its first chunk leads the second by at least this share of the distance from the
    first to the last: the first stage is sure. Empty: never."""
