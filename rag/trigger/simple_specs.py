"""The options of the triggers that need no more than scores or the answer itself, and of combinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rag.config.stage import Use
from rag.trigger.trigger_spec import QueryBuilderSpec, TriggerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.resources import Resources
    from rag.trigger.base import Trigger

Part = Annotated[TriggerSpec, Use("trigger")]


class AlwaysSpec(TriggerSpec):
    """Retrieves once for the question, and again with each sentence before it is kept."""

    use: Literal["always"] = "always"

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.plain import Always

        return Always()


class NeverSpec(TriggerSpec):
    """Never retrieves: what the generator writes without evidence, to compare with."""

    use: Literal["never"] = "never"

    @property
    def skips(self) -> bool:
        return True

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        yield from self.left_without_evidence(pipeline, path)

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.plain import Never

        return Never()


class MarginSpec(TriggerSpec):
    """Retrieves again where the best chunk hardly leads the second, or scores low. Ours."""

    use: Literal["margin"] = "margin"
    least: float = Field(0.1, ge=0, le=1)
    """By how much the best must lead the second, as a share of the distance from the best to the last."""
    least_score: float | None = None
    """What the best must score, on the scale of whoever scored last; null: anything."""
    elsewhere: bool = False
    """Look in `ask.dynamic.elsewhere` rather than search the same index with another query."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        if self.elsewhere and pipeline.value("ask.dynamic.elsewhere") is None:
            yield (*path, "elsewhere"), "ask.dynamic.elsewhere is null: there is no second source to look in"
        query = pipeline.get("ask.dynamic.query", QueryBuilderSpec)
        if not self.elsewhere and query is not None and not query.asks_anew:
            message = f"'margin' would search for the same again with the query builder {query.use!r}"
            yield ("ask", "dynamic", "query", "use"), f"{message}: set it to llm-asked, or the trigger's `elsewhere`"

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.margin import Margin

        return Margin(least=self.least, least_score=self.least_score, elsewhere=self.elsewhere)


class IterRetGenSpec(TriggerSpec):
    """Retrieves with the finished answer and the question, and writes it anew (Iter-RetGen, arXiv 2305.15294)."""

    use: Literal["iter-retgen"] = "iter-retgen"
    rounds: int = Field(2, ge=1, le=20)
    """How many retrievals there are, the first included."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.iter_retgen import IterRetGen

        return IterRetGen(rounds=self.rounds)


class AnySpec(TriggerSpec):
    """Retrieves if one of several triggers says so. They are asked in their order, so the cheap ones go first."""

    use: Literal["any"] = "any"
    of: tuple[Part, ...] = Field(min_length=1)
    """The triggers."""

    @property
    def skips(self) -> bool:
        return any(part.skips for part in self.of)

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.combined import AnyOf

        return AnyOf([(part.use, part.build(resources)) for part in self.of])


class AllSpec(TriggerSpec):
    """Retrieves if all triggers say so that speak at the moment. They are asked in their order until one does not."""

    use: Literal["all"] = "all"
    of: tuple[Part, ...] = Field(min_length=1)
    """The triggers."""

    @property
    def skips(self) -> bool:
        return any(part.skips for part in self.of)

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.combined import AllOf

        return AllOf([(part.use, part.build(resources)) for part in self.of])


class NotSpec(TriggerSpec):
    """Retrieves where another trigger does not."""

    use: Literal["not"] = "not"
    of: Part
    """The trigger to turn around."""

    @property
    def skips(self) -> bool:
        return True

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.combined import Not

        return Not(self.of.build(resources))


BUILT_IN: tuple[type[TriggerSpec], ...] = (
    AlwaysSpec,
    NeverSpec,
    MarginSpec,
    IterRetGenSpec,
    AnySpec,
    AllSpec,
    NotSpec,
)
