"""The best of many scores."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index import ranking
from rag.index.ranking import BLOCK, best, spread

SCORES = st.integers(0, 5 * BLOCK).flatmap(
    lambda size: st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, -2.0]), min_size=size, max_size=size)
)


@given(SCORES, st.integers(1, 2 * BLOCK), st.sampled_from([1, BLOCK, ranking.FEW]))
def test_the_best_are_those_of_sorting_everything_by_score_and_row(scores: list[float], k: int, few: int) -> None:
    with mock.patch.object(ranking, "FEW", few):
        rows, found = best(np.array(scores, np.float32), np.arange(len(scores)) * 3, k=k)
    expected = sorted((-score, 3 * at) for at, score in enumerate(scores))[:k]
    assert list(zip((-found).tolist(), rows.tolist(), strict=True)) == expected


def test_many_blocks_are_searched_as_few_are() -> None:
    scores = np.random.default_rng(1).standard_normal(1000 * BLOCK + 7).astype(np.float32)
    rows, found = best(scores, np.arange(len(scores)), k=50)
    assert rows.tolist() == np.argsort(-scores, kind="stable")[:50].tolist()
    assert found.tolist() == scores[rows].tolist()


@pytest.mark.parametrize("few", [1, ranking.FEW])
def test_scores_that_are_not_numbers_are_not_found(few: int) -> None:
    scores = np.full(10 * BLOCK, np.nan, np.float32)
    with mock.patch.object(ranking, "FEW", few):
        assert len(best(scores, np.arange(len(scores)), k=3)[0]) == 0
    rows, found = best(np.array([np.nan, 1, 2, np.nan], np.float32), np.arange(4), k=3)
    assert (rows.tolist(), found.tolist()) == ([2, 1], [2.0, 1.0])


def test_the_spread_is_the_mean_and_the_population_deviation() -> None:
    assert spread(np.array([1, 3], np.float32)) == (2.0, 1.0)
    assert spread(np.empty(0, np.float32)) == (0.0, 0.0)
    many = np.random.default_rng(2).standard_normal(20_001).astype(np.float32)
    assert spread(many) == pytest.approx((many.astype(np.float64).mean(), many.astype(np.float64).std()), rel=1e-12)
