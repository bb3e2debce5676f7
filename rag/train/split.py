"""Which questions train, which choose and which judge; the same for everything trained with one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of questions: three fifths, a fifth, a fifth."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @staticmethod
    def of(count: int, *, seed: int) -> Split:
        order = np.random.default_rng(seed).permutation(count)
        fifth = count // 5
        return Split(order[2 * fifth :], order[fifth : 2 * fifth], order[:fifth])
