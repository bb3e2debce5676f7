"""The bases of every trigger's and every query builder's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rag.config.dump import use_name
from rag.config.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
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

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        for generator in pipeline.specs("ask.generate"):
            if self.writes and "quotes" in generator.traits:
                written = f"looks at how the language model writes, ask.generate is {use_name(generator)!r}"
                yield (*path, "use"), f"{self.use!r} {written}: set it to llm"

    def left_without_evidence(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        """For one that `skips`: it alone decides, and the generator abstains where nothing is retrieved."""
        alone = pipeline.value("ask.dynamic.trigger") is self
        if alone and self.skips and any("abstains" in generator.traits for generator in pipeline.specs("ask.generate")):
            message = f"{self.use!r} may retrieve nothing, and without evidence ask.generate abstains from every answer"
            yield (*path, "use"), f"{message}: set it to {{use: llm, without_evidence: answer}}"

    def build(self, resources: Resources) -> Trigger:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class QueryBuilderSpec(Spec):
    """Options of what says what to retrieve with, once a trigger has said when."""

    asks_anew: ClassVar[bool] = False
    """Whether it has another thing to ask than the question while nothing is written."""
    use: str
    """The component's name."""

    def build(self, resources: Resources) -> QueryBuilder:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)
