"""The bases of every trigger's and every query builder's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.resources import Resources
    from rag.trigger.base import QueryBuilder, Trigger


class TriggerSpec(Spec):
    """Options of what says when to retrieve."""

    writes: ClassVar[bool] = False
    """Whether it looks at how the language model came to what it wrote, so that it has to be the generator."""
    use: str
    """The component's name."""

    @property
    def skips(self) -> bool:
        """Whether it may leave out retrieval altogether, so that the generator has to write without evidence."""
        return False

    def build(self, resources: Resources) -> Trigger:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class QueryBuilderSpec(Spec):
    """Options of what says what to retrieve with, once a trigger has said when."""

    use: str
    """The component's name."""

    def build(self, resources: Resources) -> QueryBuilder:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)
