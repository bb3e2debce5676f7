"""The expand stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Query, Ranking


class Expander(Protocol):
    """Replaces ranked chunks by wider stretches of the same documents; empty stays empty.

    Every stretch contains a chunk it was given and is the document's text at its span, no two of a document overlap,
    and each has the best score and the origin of the chunks in it and the place of the first of them. Access rules hold
    without being asked again: who may see a chunk may see its document.
    """

    def expand(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]: ...
