from __future__ import annotations

import pytest

from rag.models.retry import Backoff, retry_after


def test_waits_are_drawn_from_limits_that_double_up_to_the_longest() -> None:
    limits: list[float] = []

    def draw(low: float, high: float) -> float:
        assert low == 0
        limits.append(high)
        return high / 2

    backoff = Backoff(retries=9, first_seconds=1, longest_seconds=6, draw=draw)
    assert [backoff.seconds(attempt, None) for attempt in range(4)] == [0.5, 1, 2, 3]
    assert limits == [1, 2, 4, 6]


def test_a_wait_is_never_shorter_than_the_server_asks() -> None:
    backoff = Backoff(retries=1, draw=lambda low, high: low)
    assert backoff.seconds(0, 7.5) == 7.5


def test_it_gives_up_without_waiting_when_no_try_is_left_or_the_server_asks_for_too_long() -> None:
    slept: list[float] = []
    backoff = Backoff(retries=1, longest_seconds=10, sleep=slept.append, draw=lambda low, high: high)
    assert backoff.wait(0, None)
    assert not backoff.wait(1, None)
    assert not backoff.wait(0, 11)
    assert slept == [0.5]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("2", 2.0), ("-3", 0.0), ("0.25", 0.25), ("soon", None), ("nan", None)],
)
def test_retry_after_is_read_as_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    at = 1445412480.0  # Wed, 21 Oct 2015 07:28:00 GMT
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=lambda: at - 30) == 30
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=lambda: at + 30) == 0
