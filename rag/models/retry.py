"""When to ask a server again, and how long to wait before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from rag.models.caller import pause

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that another try may mend: timeouts, conflicts, rate limits, overload, a server's own failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double, each drawn evenly from zero to its limit ("full jitter", M. Brooker, AWS, 2015).

    A server's ``Retry-After`` is a lower bound. Longer than `longest_seconds` is not waited at all: the caller gives up
    and says how long the server wants.
    """

    retries: int
    first_seconds: float = 0.5
    longest_seconds: float = 60.0
    sleep: Callable[[float], None] = field(default=pause, repr=False)
    draw: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def seconds(self, attempt: int, asked: float | None) -> float:
        """The wait after failed `attempt` (from 0), given what the server `asked` for."""
        limit = min(self.longest_seconds, self.first_seconds * 2.0**attempt)
        return max(self.draw(0.0, limit), asked or 0.0)

    def wait(self, attempt: int, asked: float | None) -> bool:
        """Wait and say true, or false at once if no try is left or the server asks for too long."""
        if attempt >= self.retries or (asked is not None and asked > self.longest_seconds):
            return False
        self.sleep(self.seconds(attempt, asked))
        return True


def retry_after(value: str | None, *, now: Callable[[], float] = time.time) -> float | None:
    """The seconds a ``Retry-After`` header asks for, as seconds or as a date; ``None`` if it asks for nothing."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None  # `nan` is a number to float() alone
