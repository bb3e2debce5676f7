"""The transform stage: one question in, one or more retrieval queries out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Query


class QueryTransform(Protocol):
    """For each query at least one; the filter and the principals of the given query stay on every one it makes."""

    def transform(self, queries: Sequence[Query]) -> list[list[Query]]: ...
