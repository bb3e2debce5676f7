"""The data model: immutable values that carry character offsets from the source document to the citation.

Offsets are half-open ranges ``[start, end)`` in Unicode code points of `Document.text`, that is, what
``text[start:end]`` means in Python. One invariant runs through everything: the text of every chunk, every piece of
evidence and every citation is the document's text at its span.

Only the standard library is imported here.
"""

from __future__ import annotations

from rag.types.answer import (
    Answer,
    Citation,
    Dropped,
    Evidence,
    FieldCitation,
    Prompt,
    StageRecord,
    Support,
    Token,
    Trace,
    Verdict,
)
from rag.types.document import (
    Box,
    Chunk,
    Document,
    Layout,
    Location,
    Meta,
    Part,
    PartKind,
    Scalar,
    Span,
)
from rag.types.ranking import (
    Background,
    Condition,
    Query,
    Ranking,
    ScoredChunk,
)
from rag.types.usage import (
    CacheKept,
    Reuse,
    Usage,
)

__all__ = [
    "Answer",
    "Background",
    "Box",
    "CacheKept",
    "Chunk",
    "Citation",
    "Condition",
    "Document",
    "Dropped",
    "Evidence",
    "FieldCitation",
    "Layout",
    "Location",
    "Meta",
    "Part",
    "PartKind",
    "Prompt",
    "Query",
    "Ranking",
    "Reuse",
    "Scalar",
    "ScoredChunk",
    "Span",
    "StageRecord",
    "Support",
    "Token",
    "Trace",
    "Usage",
    "Verdict",
]
