"""Options of the enrich stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.enrich.base import Enricher
    from rag.resources import Resources


class EnricherSpec(Spec):
    """The base of every enricher's options."""

    use: str

    def build(self, resources: Resources) -> Enricher:
        """Make the enricher. Every subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")


class HeadingsSpec(EnricherSpec):
    """Puts the document's title and the headings above a chunk before it, for indexing only."""

    use: Literal["headings"] = "headings"
    title: bool = True
    """Begin with the document's title, where its metadata has one."""
    characters: int = Field(200, ge=20)
    """Longest context; the outermost headings are left out first."""

    def build(self, resources: Resources) -> Enricher:
        from rag.enrich.headings import HeadingsEnricher

        return HeadingsEnricher(title=self.title, characters=self.characters)


BUILT_IN: tuple[type[EnricherSpec], ...] = (HeadingsSpec,)
