"""Work done ahead of a request, beside it: nobody waits for it, and what fails is said in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

logger = logging.getLogger(__name__)


class Ahead:
    """One thread, started by the first job; jobs run one after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def start(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix=self.name)
            self._pool.submit(job).add_done_callback(_report)

    def settle(self) -> None:
        """Wait until all that was started is done."""
        with self._lock:
            pool = self._pool
        if pool is not None:
            pool.submit(int).result()

    def close(self) -> None:
        """Wait for the job that runs; those that wait are not run any more."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _report(done: Future[None]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        logger.warning("caches of passages could not be brought nearer: %s", error)
