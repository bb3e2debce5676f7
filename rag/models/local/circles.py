"""Seeing that a reply goes in circles, as small models do when the most probable token is always taken."""

from __future__ import annotations

import numpy as np

LONGEST = 128
"""Tokens of the longest stretch that is looked for: a paragraph."""
TIMES = 3
LEAST = 64
"""Tokens that the repeats take together, so that a rule of dashes or a table's head may stand."""


class Circles:
    """Looks whether the last tokens of a reply are one stretch, `TIMES` over."""

    def __init__(self) -> None:
        self._last = np.full(LONGEST, -1, np.int64)  # the newest first
        self._alike = np.zeros(LONGEST, np.int64)  # at p - 1: so many last tokens are those p before them
        periods = np.arange(1, LONGEST + 1)
        self._enough = np.maximum((TIMES - 1) * periods, LEAST - periods)

    def take(self, token: int) -> bool:
        """Whether the reply goes in circles by now.

        >>> circles = Circles()
        >>> [circles.take(token) for token in (*range(30), *range(30), *range(30))].index(True)
        89
        """
        self._alike = np.where(self._last == token, self._alike + 1, 0)
        self._last = np.concatenate([[token], self._last[:-1]])
        return bool((self._alike >= self._enough).any())
