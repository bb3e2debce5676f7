"""What the benchmarks of chunk caches are to reach, and the line that says whether they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """A figure that is to be at least, or at most, what is wanted."""

    name: str
    reached: float
    bound: Literal["at least", "at most"]
    wanted: float

    @property
    def met(self) -> bool:
        return self.reached >= self.wanted if self.bound == "at least" else self.reached <= self.wanted

    def __str__(self) -> str:
        return f"{self.name} {self.reached:.3g} ({self.bound} {self.wanted:.3g})"


def summary(goals: Sequence[Goal]) -> str:
    """One line.

    >>> summary([Goal("times faster", 3.0, "at least", 2.0), Goal("ms a lookup", 1.5, "at most", 1.0)])
    '1 of 2 goals met; missed: ms a lookup 1.5 (at most 1)'
    """
    missed = [str(goal) for goal in goals if not goal.met]
    told = f"{len(goals) - len(missed)} of {len(goals)} goals met"
    return "; ".join([told, *([f"missed: {', '.join(missed)}"] if missed else [])])
