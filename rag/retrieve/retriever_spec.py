"""The base of every retriever's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.resources import Resources
    from rag.retrieve.base import Retriever


class RetrieverSpec(Spec):
    """Options of a first-stage retriever."""

    use: str
    """The component's name."""

    def prepare(self, resources: Resources) -> None:
        """Make what it reads beside the index of every chunk that lacks it; called when an ingest has committed."""

    def build(self, resources: Resources) -> Retriever:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)
