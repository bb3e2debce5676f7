"""The options of every citer that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.cite.base import Citer
    from rag.resources import Resources


class CiterSpec(Spec):
    """Options of what checks the answer's citations."""

    use: str
    """The component's name."""

    def build(self, resources: Resources) -> Citer:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class MarkersSpec(CiterSpec):
    """Reads ``[1]``, ``[1, 2]`` and ``[1-3]``; markers that name no given source are taken out and counted."""

    use: Literal["markers"] = "markers"

    def build(self, resources: Resources) -> Citer:
        from rag.cite.markers import MarkerCiter

        return MarkerCiter()


BUILT_IN: tuple[type[CiterSpec], ...] = (MarkersSpec,)
