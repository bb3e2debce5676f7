"""Every trigger and every query builder that ships."""

from __future__ import annotations

from rag.trigger.asking_specs import BUILT_IN as ASKING
from rag.trigger.quco_specs import BUILT_IN as COUNTING
from rag.trigger.query_specs import BUILT_IN as BUILT_IN_QUERY_BUILDERS
from rag.trigger.simple_specs import BUILT_IN as SIMPLE
from rag.trigger.token_specs import BUILT_IN as BY_TOKENS
from rag.trigger.trigger_spec import QueryBuilderSpec, TriggerSpec

__all__ = ["BUILT_IN", "BUILT_IN_QUERY_BUILDERS", "QueryBuilderSpec", "TriggerSpec"]

BUILT_IN: tuple[type[TriggerSpec], ...] = (*SIMPLE, *BY_TOKENS, *ASKING, *COUNTING)
