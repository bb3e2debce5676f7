"""The base of every query transform's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.config.spec import Spec, Trait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.query.base import QueryTransform
    from rag.resources import Resources

_INDEXES = "ingest.index."


class QueryTransformSpec(Spec):
    """Options of a component that turns one question into one or more retrieval queries."""

    use: str
    """The component's name."""

    @property
    def several(self) -> bool:
        """Whether it may make more than one query of one, so that their rankings have to be fused."""
        return True

    @property
    def traits(self) -> frozenset[Trait]:
        return frozenset({"several-queries"} if self.several else ())

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        """A change of one kind of retrieval alone, where every retriever is known to be of another kind."""
        retrievers = pipeline.specs("ask.retrieve")
        used = [{need for need in spec.needs if need.startswith(_INDEXES)} for spec in retrievers]
        for need in self.needs:
            if need.startswith(_INDEXES) and all(known and need not in known for known in used):
                kind = need.removeprefix(_INDEXES)
                message = f"{self.use!r} changes what {kind} retrieval searches for, ask.retrieve has none"
                yield (*path, "use"), message

    def build(self, resources: Resources) -> QueryTransform:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)
