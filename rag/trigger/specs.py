"""The options of every trigger and every query builder that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rag.trigger.quco_specs import BUILT_IN as COUNTING
from rag.trigger.trigger_spec import QueryBuilderSpec, TriggerSpec

if TYPE_CHECKING:
    from rag.resources import Resources
    from rag.trigger.base import QueryBuilder, Trigger


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

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.plain import Never

        return Never()


class AutoSpec(QueryBuilderSpec):
    """What the trigger itself knows to ask, else what fits the moment.

    That is the sentence without its doubtful words, or all of it; at the end the answer and the question; before
    anything is written the question.
    """

    use: Literal["auto"] = "auto"

    def build(self, resources: Resources) -> QueryBuilder:
        from rag.trigger.queries import Auto

        return Auto()


BUILT_IN: tuple[type[TriggerSpec], ...] = (AlwaysSpec, NeverSpec, *COUNTING)
BUILT_IN_QUERY_BUILDERS: tuple[type[QueryBuilderSpec], ...] = (AutoSpec,)
