from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.models.rate import Allowance, RateLimit


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_tenth_of_the_allowance_goes_out_at_once_and_the_rest_evenly() -> None:
    clock = Clock()
    limit = RateLimit(requests_per_minute=100, clock=clock, sleep=clock.sleep)
    times = []
    for _ in range(12):
        limit.wait(1)
        times.append(clock.now)
    assert times[:10] == [0.0] * 10
    assert times[10:] == pytest.approx([60 / 91, 2 * 60 / 91])  # (100 - 10 + 1) a minute


def test_one_a_minute_is_one_a_minute() -> None:
    clock = Clock()
    limit = RateLimit(requests_per_minute=1, clock=clock, sleep=clock.sleep)
    limit.wait(1)
    limit.wait(1)
    assert clock.now == pytest.approx(60)


def test_tokens_count_beside_requests() -> None:
    clock = Clock()
    limit = RateLimit(requests_per_minute=1000, tokens_per_minute=600, clock=clock, sleep=clock.sleep)
    limit.wait(60)  # all that goes out at once
    limit.wait(541)  # (600 - 60 + 1) a minute
    assert clock.now == pytest.approx(60)


def test_tokens_that_were_reserved_and_not_used_are_given_back() -> None:
    clock = Clock()
    limit = RateLimit(tokens_per_minute=600, clock=clock, sleep=clock.sleep)
    limit.wait(60)
    limit.settle(60, 10)
    limit.wait(50)
    assert clock.now == 0.0


@given(st.integers(1, 400), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 20)), max_size=60))
def test_no_minute_has_more_than_its_allowance(per_minute: int, asks: list[tuple[float, float]]) -> None:
    clock = Clock()
    allowance = Allowance(per_minute, clock=clock)
    sent: list[tuple[float, int]] = []
    for share, pause in asks:
        units = max(1, int(share * allowance.capacity))
        clock.sleep(pause)
        clock.sleep(allowance.take(units))
        sent.append((clock.now, units))
    for start, _ in sent:
        assert sum(units for at, units in sent if start <= at < start + 59.999) <= per_minute
