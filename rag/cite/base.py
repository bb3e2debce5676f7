"""The cite stage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.types import Citation, Evidence


@dataclass(frozen=True, slots=True)
class Cited:
    """The answer's text with its valid markers, the citations in it, and how many markers named no evidence."""

    text: str
    citations: tuple[Citation, ...]
    dropped: int = 0


class Citer(Protocol):
    """Checks the markers of an answer against the evidence it was given."""

    def cite(self, text: str, evidence: Sequence[Evidence], *, given: Collection[int] | None = None) -> Cited:
        """`given` are the numbers of the evidence that the generator saw; ``None``: all of it."""
        ...
