"""The base of every language model's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.models.llm import LanguageModel, Tier


class LanguageModelSpec(Spec):
    """Options of the language model that stages may ask."""

    offers: ClassVar[frozenset[Tier]] = frozenset({"text"})
    """What stages may ask of it; a pipeline whose stages ask for more is refused."""
    use: str
    """The component's name."""

    def build(self) -> LanguageModel:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)
