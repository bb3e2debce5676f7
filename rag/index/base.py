"""What an index is asked for: rows and scores. Chunks come later, for the few that are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors

Rows: TypeAlias = NDArray[np.int64]
Scores: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hits:
    """One query's best rows, best first, equal scores by row, and how all scores are distributed.

    `mean` and `deviation` (population) are over the `size` rows the query may see, those without a match included
    (score 0 in a sparse index); approximate indexes take them from a fixed random sample. `score` gives the score of
    any rows; a row of -1 is a chunk this generation does not have and scores the mean, which says nothing.
    """

    rows: Rows
    scores: Scores
    mean: float
    deviation: float
    size: int
    score: Callable[[Rows], Scores]


class DenseIndex(Protocol):
    """Nearest chunks by inner product of unit vectors."""

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        """At most `k` rows for each query, chosen among the rows where `allowed` is true (``None``: all live rows)."""
        ...


@runtime_checkable
class Warmable(Protocol):
    """An index that a process which answers many questions can make quicker first."""

    def warm_up(self) -> None: ...


class SparseIndex(Protocol):
    """Best chunks by weighted terms. Rows without any matching term are never hits."""

    def search(self, queries: Sequence[str], *, k: int, allowed: Mask | None) -> list[Hits]: ...
