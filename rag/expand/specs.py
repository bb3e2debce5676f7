"""The options of every expander that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.expand.base import Expander
    from rag.resources import Resources

WindowUnit: TypeAlias = Literal["sentences", "chunks"]
ParentKind: TypeAlias = Literal["section", "page", "tokens"]


class ExpanderSpec(Spec):
    """Options of what widens the ranked chunks."""

    use: str
    """The component's name."""

    def build(self, resources: Resources) -> Expander:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class WindowSpec(ExpanderSpec):
    """What stands beside each chunk: so many sentences or chunks on either side."""

    use: Literal["window"] = "window"
    unit: WindowUnit = "sentences"
    """What is added: whole sentences, or chunks of the index."""
    reach: int = Field(2, ge=1, le=1_000)
    """How many on either side."""

    def build(self, resources: Resources) -> Expander:
        from rag.expand.window import WindowExpander

        return WindowExpander(resources, unit=self.unit, reach=self.reach)


class ParentSpec(ExpanderSpec):
    """What each chunk is part of: its section or page, or as much as fits."""

    use: Literal["parent"] = "parent"
    kind: ParentKind = "section"
    """`section`: under the nearest heading, or else as `page`; `page`: the page, slide, sheet or chapter, or else as
    `tokens`; `tokens`: whole sentences on either side."""
    tokens: int = Field(800, ge=1)
    """How long a stretch may be, in the embedder's tokens; of a longer parent, the sentences around the chunk."""

    def build(self, resources: Resources) -> Expander:
        from rag.expand.parent import ParentExpander

        return ParentExpander(resources, kind=self.kind, tokens=self.tokens)


BUILT_IN: tuple[type[ExpanderSpec], ...] = (WindowSpec, ParentSpec)
