from __future__ import annotations

import logging
from threading import Event

import pytest

from rag.models.local.ahead import Ahead


def test_nobody_waits_for_a_job_and_jobs_run_one_after_the_other() -> None:
    ahead, go, done = Ahead("test"), Event(), list[int]()

    def first() -> None:
        assert go.wait(10)
        done.append(1)

    ahead.start(first)
    ahead.start(lambda: done.append(2))
    assert done == []
    go.set()
    ahead.settle()
    assert done == [1, 2]
    ahead.close()


def test_a_job_that_fails_is_said_in_the_log_and_raises_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    ahead = Ahead("test")
    with caplog.at_level(logging.WARNING):
        ahead.start(lambda: 1 / 0 and None)
        ahead.settle()
    ahead.close()
    assert "could not be brought nearer: division by zero" in caplog.text
