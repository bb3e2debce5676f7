"""RAG pipelines you can read, measure and trust. The names below are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.errors import RagError
    from rag.events import Answered, Cited, Compressed, Decided, Event, Expanded, Reranked, Retracted, Retrieved, Wrote
    from rag.index.filters import parse_filter
    from rag.pipeline.build import Components
    from rag.pipeline.conversation import Conversation
    from rag.pipeline.pipeline import Pipeline, SearchResult
    from rag.pipeline.report import IngestPlan, IngestProgress, IngestReport
    from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec
    from rag.types import (
        Answer,
        Chunk,
        Citation,
        Condition,
        Document,
        Evidence,
        Location,
        Query,
        Ranking,
        ScoredChunk,
        Span,
        Trace,
        Usage,
    )

_WHERE = {
    "rag.errors": ("RagError",),
    "rag.events": (
        "Answered",
        "Cited",
        "Compressed",
        "Decided",
        "Event",
        "Expanded",
        "Reranked",
        "Retracted",
        "Retrieved",
        "Wrote",
    ),
    "rag.index.filters": ("parse_filter",),
    "rag.pipeline.build": ("Components",),
    "rag.pipeline.conversation": ("Conversation",),
    "rag.pipeline.report": ("IngestPlan", "IngestProgress", "IngestReport"),
    "rag.pipeline.pipeline": ("Pipeline", "SearchResult"),
    "rag.pipeline.spec": ("AskSpec", "IngestSpec", "PipelineSpec"),
    "rag.types": (
        "Answer",
        "Chunk",
        "Citation",
        "Condition",
        "Document",
        "Evidence",
        "Location",
        "Query",
        "Ranking",
        "ScoredChunk",
        "Span",
        "Trace",
        "Usage",
    ),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [  # sorted by name, held equal to the imports above by a test
    "Answer",
    "Answered",
    "AskSpec",
    "Chunk",
    "Citation",
    "Cited",
    "Components",
    "Compressed",
    "Condition",
    "Conversation",
    "Decided",
    "Document",
    "Event",
    "Evidence",
    "Expanded",
    "IngestPlan",
    "IngestProgress",
    "IngestReport",
    "IngestSpec",
    "Location",
    "Pipeline",
    "PipelineSpec",
    "Query",
    "RagError",
    "Ranking",
    "Reranked",
    "Retracted",
    "Retrieved",
    "ScoredChunk",
    "SearchResult",
    "Span",
    "Trace",
    "Usage",
    "Wrote",
    "parse_filter",
]


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'rag' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
