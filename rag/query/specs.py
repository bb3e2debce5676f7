"""The options of every query transform that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.query.base import QueryTransform
    from rag.resources import Resources


class QueryTransformSpec(Spec):
    """Options of a component that turns one question into one or more retrieval queries."""

    use: str
    """The component's name."""

    def build(self, resources: Resources) -> QueryTransform:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


BUILT_IN: tuple[type[QueryTransformSpec], ...] = ()
