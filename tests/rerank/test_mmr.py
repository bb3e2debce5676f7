from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.rerank.mmr import marginal_relevance

VECTORS = np.array([[1, 0], [0.96, 0.28], [0, 1], [0.6, 0.8]], dtype=np.float32)
QUESTION = np.array([1, 0], dtype=np.float32)


@pytest.mark.parametrize(("relevance", "rows"), [(0.5, [0, 1, 3, 2]), (1.0, [0, 1, 3, 2]), (0.0, [0, 2, 3, 1])])
def test_rows_are_picked_as_in_the_known_answer(relevance: float, rows: list[int]) -> None:
    assert [row for row, _ in marginal_relevance(QUESTION, VECTORS, keep=4, relevance=relevance)] == rows


def test_scores_are_the_marginal_relevance_at_the_time_of_the_pick() -> None:
    scores = [score for _, score in marginal_relevance(QUESTION, VECTORS, keep=4, relevance=0.5)]
    # .5 * 1;  .5 * .96 - .5 * .96;  .5 * .6 - .5 * max(.6, .8);  .5 * 0 - .5 * max(0, .28, .8)
    assert scores == pytest.approx([0.5, 0.0, -0.1, -0.4], abs=1e-6)


def test_no_more_than_asked_are_picked() -> None:
    assert len(marginal_relevance(QUESTION, VECTORS, keep=2, relevance=0.5)) == 2
    assert marginal_relevance(QUESTION, VECTORS[:0], keep=2, relevance=0.5) == []


@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_every_row_is_picked_once_and_scores_fall(count: int, seed: int, relevance: float) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    picks = marginal_relevance(vectors[0], vectors, keep=count, relevance=relevance)
    assert sorted(row for row, _ in picks) == list(range(count))
    scores = [math.inf, *(score for _, score in picks)]
    assert all(one > other for one, other in pairwise(scores))
