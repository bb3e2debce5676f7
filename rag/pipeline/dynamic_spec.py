"""The options of dynamic retrieval."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rag.config.spec import Spec
from rag.config.stage import Use
from rag.retrieve.retriever_spec import RetrieverSpec
from rag.trigger.query_specs import AutoSpec
from rag.trigger.trigger_spec import QueryBuilderSpec, TriggerSpec


class DynamicSpec(Spec):
    """Retrieves where a trigger asks for it: before, while or after an answer is written."""

    trigger: Annotated[TriggerSpec, Use("trigger")]
    """What says when to retrieve."""
    query: Annotated[QueryBuilderSpec, Use("query")] = AutoSpec()
    """What says what to retrieve with, where that is not the question."""
    elsewhere: Annotated[RetrieverSpec, Use("retrieve")] | None = None
    """A second source that a trigger may turn to, such as `routed` over another index."""
    rounds: int = Field(5, ge=1, le=100)
    """How often to retrieve for one question at most, the first time included."""
    tokens: int = Field(1024, ge=1)
    """How many tokens to write for one question at most, those taken back included; the answer ends there."""
    seconds: float = Field(60.0, gt=0)
    """After so long nothing more is retrieved, and the answer is written to its end."""
    add: int = Field(3, ge=1, le=1_000)
    """How many pieces of evidence a further retrieval may add, for each of its queries."""
    on_failure: Literal["retrieve", "write", "fail"] = "retrieve"
    """What to do if the trigger fails: `retrieve` with the question unless something was retrieved already; `write` on
    without; or `fail`. Failures are counted in the trace."""
