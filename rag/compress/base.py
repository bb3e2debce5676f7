"""The compress stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rag.types import Dropped, Evidence, Meta, Query, Ranking


@dataclass(frozen=True, slots=True)
class Compression:
    """What is kept of one ranking, in the order it is to be read, and the sentences that are not, in theirs.

    `notes` is what its maker has to say about it in the trace: how many sentences there were, why one was kept alone.
    """

    evidence: tuple[Evidence, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    notes: Meta = field(default_factory=dict, compare=False)


class Compressor(Protocol):
    """Keeps what the answer needs of the ranked chunks, as evidence with exact spans.

    Nothing is rewritten: evidence is whole sentences of the chunks, so what is cited from it stands in the source.
    """

    def compress(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Compression]: ...
