"""Not asking a server more often, or for more tokens, than it allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from rag.models.caller import pause

MINUTE = 60.0
BURST = 0.1
"""The share of a minute's allowance that may go out at once."""


class Allowance:
    """So many units in any minute: a bucket that starts full and fills evenly.

    What is taken is taken at once and in the order of asking; a bucket below zero says how long to wait. In any 60
    seconds less than ``capacity + 60 * per_second = per_minute + 1`` units go out, hence no more than `per_minute`, as
    long as no one takes more than `capacity` at once; who does, waits until that much has come together.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity = max(1.0, per_minute * BURST)
        self.per_second = (per_minute - self.capacity + 1) / MINUTE
        self.clock = clock
        self._level = self.capacity
        self._at = clock()

    def take(self, units: float) -> float:
        """Take `units`; the seconds to wait until they may be used. A negative number gives back."""
        now = self.clock()
        self._level = min(self.capacity, self._level + (now - self._at) * self.per_second) - units
        self._at = now
        return max(0.0, -self._level / self.per_second)


class RateLimit:
    """Holds requests back so that neither their number nor their tokens go over a minute's allowance.

    ``None`` sets no limit. May be used from many threads.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self._requests = None if requests_per_minute is None else Allowance(requests_per_minute, clock=clock)
        self._tokens = None if tokens_per_minute is None else Allowance(tokens_per_minute, clock=clock)
        self._sleep = sleep
        self._lock = Lock()

    def wait(self, tokens: int) -> None:
        """Return when a request of about so many tokens, prompt and reply, may go out."""
        with self._lock:
            seconds = max(
                0.0 if self._requests is None else self._requests.take(1),
                0.0 if self._tokens is None else self._tokens.take(tokens),
            )
        if seconds > 0:
            self._sleep(seconds)

    def settle(self, reserved: int, used: int) -> None:
        """Correct what `wait` reserved by what the server counted."""
        if self._tokens is not None:
            with self._lock:
                self._tokens.take(used - reserved)
