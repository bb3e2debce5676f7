"""Who waits for a model, and may leave: heard at once by whoever works for them, in whatever thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Lock


class Caller:
    """A caller who stays until `leave` is called, from any thread, once for all."""

    def __init__(self) -> None:
        self._left = Event()
        self._lock = Lock()
        self._stops: list[Callable[[], object]] = []

    @property
    def left(self) -> bool:
        return self._left.is_set()

    def leave(self) -> None:
        """End what is under way for the caller, and what would follow."""
        with self._lock:
            self._left.set()
            for stop in self._stops:
                stop()

    @contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """While the block runs, `stop` is called when the caller leaves, or at once if that has happened.

        It is called in the thread of who leaves, must not wait, and makes the block end.
        """
        with self._lock:
            self._stops.append(stop)
            if self.left:
                stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than the caller stays."""
        self._left.wait(seconds)


CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039  # one who stays holds nothing
"""For whom this thread works. Threads that work for the same one are started with ``initializer=CALLER.set``."""


def pause(seconds: float) -> None:
    """Sleep, but no longer than the caller of this thread stays."""
    CALLER.get().wait(seconds)
