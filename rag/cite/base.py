"""The cite stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rag.types import Citation, Evidence, Scalar


@dataclass(frozen=True, slots=True)
class Cited:
    """The answer's text with its valid markers, the citations in it, and how many markers named no evidence.

    `uncited` are the ranges of sentences that state something without naming a source, from a citer that looks for
    them.
    """

    text: str
    citations: tuple[Citation, ...]
    dropped: int = 0
    uncited: tuple[tuple[int, int], ...] = ()

    @property
    def notes(self) -> dict[str, Scalar]:
        """How many there are of what, for the trace."""
        verdicts = Counter[str](citation.support.verdict for citation in self.citations if citation.support)
        moved = sum(bool(citation.moved_from) for citation in self.citations)
        return {"dropped": self.dropped, **verdicts, "uncited": len(self.uncited), "moved": moved}


class Citer(Protocol):
    """Checks the markers of an answer against the evidence it was given."""

    def cite(self, text: str, evidence: Sequence[Evidence], *, given: Collection[int] | None = None) -> Cited:
        """`given` are the numbers of the evidence that the generator saw; ``None``: all of it."""
        ...


@runtime_checkable
class StreamingCiter(Citer, Protocol):
    """A citer that can tell, while an answer is written, which citations will stand."""

    def certain(self, text: str, given: Collection[int]) -> int:
        """Up to which offset of the final text the citations of `text` will be those of whatever it becomes."""
        ...
