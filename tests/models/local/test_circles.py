from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rag.models.llm import Message, Sampling
from rag.models.local.circles import LEAST, TIMES, Circles
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel


def ended(tokens: list[int]) -> int | None:
    """How many tokens were taken when it was seen."""
    circles = Circles()
    return next((count for count, token in enumerate(tokens, 1) if circles.take(token)), None)


def test_a_stretch_is_seen_when_it_is_whole_for_the_third_time_behind_whatever_came_first() -> None:
    sentence = list(range(22))
    assert ended(3 * sentence) == 66
    assert ended([99, 98, *3 * sentence, 97]) == 68
    assert ended(2 * sentence + [50, *sentence]) is None


def test_a_short_stretch_may_stand_until_its_repeats_are_long() -> None:
    assert ended([7] * 63) is None
    assert ended([7] * 64) == 64
    assert ended([1, 2, 3] * 30) == 64


def test_stretches_longer_than_a_paragraph_are_not_looked_for() -> None:
    assert ended(list(range(128)) * 3) == 384
    assert ended(list(range(129)) * 4) is None


@given(st.lists(st.integers(0, 2), max_size=200))
def test_whatever_is_ended_ends_in_one_stretch_three_times_over(tokens: list[int]) -> None:
    found = ended(tokens)
    taken = tokens[:found]
    circular = [
        period
        for period in range(1, len(taken) // TIMES + 1)
        for length in [max(TIMES * period, LEAST)]
        if length <= len(taken) and taken[-length:-period] == taken[period - length :]
    ]
    assert bool(circular) == (found is not None)


def test_a_reply_that_goes_in_circles_is_ended_with_a_warning_where_that_is_asked_for(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    question, sampling = [Message("user", "Do dogs bark?")], Sampling(max_tokens=100)
    model = TransformersModel(Loader(str(weights), device="cpu"))
    loaded = model.loader.load()
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.zero_()  # every token is as probable as any other: the first is taken again and again
    assert 0 not in loaded.ends
    try:
        assert model.complete(question, sampling).usage.completion_tokens == 100
        assert "circles" not in caplog.text
        model.end_circles = True
        assert model.complete(question, sampling).usage.completion_tokens == 64
    finally:
        model.close()
    assert "the reply went in circles and was ended at 64 tokens" in caplog.text
