"""The seam for tracing: one span around each stage call."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rag.types import Scalar


class Tracer(Protocol):
    """Opens a span. Attributes are counts and names; texts of queries, documents and answers are never among them."""

    def span(self, name: str, **attributes: Scalar) -> AbstractContextManager[object]: ...


class NoTracer:
    """Traces nothing."""

    def span(self, name: str, **attributes: Scalar) -> AbstractContextManager[object]:
        return nullcontext()
