from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.rerank.idcm import IdcmReranker, VectorWindows, WordWindows, best_windows, bm25, cores, weighted
from rag.rerank.specs import IdcmSpec
from rag.testing import check_reranker, sample
from rag.types import Query

from .conftest import WordScorer, names, ranked

QUERY = Query(text="which one")


class Given:
    """Cheap scores by a word each window has."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores

    def score(self, question: str, windows: Sequence[str]) -> list[float]:
        return [max((self.scores.get(word, 0.0) for word in window.split()), default=0.0) for window in windows]


def test_the_best_cheap_windows_are_read_and_their_scores_weighted() -> None:
    assert best_windows([1, 5, 3, 4, 2], 2) == [1, 3]
    assert weighted([0.2, 0.9], [0.7, 0.3]) == pytest.approx(0.69)  # .9 * .7 + .2 * .3
    # Five windows of one word; the cheap scores 1 5 3 4 2 choose those of "b" and "d".
    cheap = Given({"a": 1, "b": 5, "c": 3, "d": 4, "e": 2})
    scorer = WordScorer({"b": 0.2, "d": 0.9, "e": 100.0})
    reranker = IdcmReranker(scorer, cheap, keep=2, windows=2, size=1, overlap=0, weights=[0.7, 0.3])
    [after] = reranker.rerank([QUERY], [ranked("a b c d e", "x")])
    assert names(after) == "ab"
    assert after[0].score == pytest.approx(0.69)
    assert after.notes == {"scored": 2, "windows": 6, "windows_scored": 3}
    assert scorer.asked == [("which one", "b"), ("which one", "d"), ("which one", "x")]


def test_a_cheap_score_of_zero_is_a_score() -> None:
    assert best_windows([-1.0, 0.0, -2.0], 1) == [1]
    assert best_windows([math.nan, -5.0], 1) == [1]


def test_windows_reach_over_their_borders_where_there_is_text() -> None:
    assert cores(120, size=50, overlap=7) == [(0, 57), (43, 107), (93, 120)]
    assert cores(0, size=50, overlap=7) == []


@given(st.integers(0, 300), st.integers(1, 60), st.integers(0, 20))
def test_every_token_is_in_a_window(count: int, size: int, overlap: int) -> None:
    found = cores(count, size=size, overlap=overlap)
    assert {at for start, end in found for at in range(start, end)} == set(range(count))
    assert all(end - start <= size + 2 * overlap for start, end in found)


def test_a_broken_score_leaves_the_other_windows_their_say() -> None:
    assert weighted([math.nan, 0.5], [1.0]) == 0.5
    assert math.isnan(weighted([math.nan], [1.0]))
    assert math.isnan(weighted([], [1.0]))


def test_bm25_of_windows_is_the_formula() -> None:
    texts = [Counter(["dog", "dog", "cat"]), Counter(["cat"]), Counter()]
    found = bm25(Counter(["dog"]), texts)
    idf, average = math.log(1 + (3 - 1 + 0.5) / 1.5), 4 / 3
    assert found == pytest.approx([idf * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / average)), 0, 0])
    assert bm25(Counter(["dog"]), []) == []


@pytest.mark.parametrize("cheap", [WordWindows, VectorWindows])
def test_the_contract_holds(tmp_path: Path, cheap: type[WordWindows] | type[VectorWindows]) -> None:
    with sample(tmp_path) as indexed:
        scorer = WordScorer({"Dogs": 2.0, "days": 1.0})
        for keep in (1, 4, 100):
            reranker = IdcmReranker(scorer, cheap(indexed.resources), keep=keep, depth=5, windows=1, size=4, overlap=1)
            check_reranker(reranker, chunks=indexed.chunks, keep=keep)


def test_without_weights_it_is_refused_as_a_cross_encoder_is() -> None:
    assert "no weights of 'nobody/nothing'" in (IdcmSpec(model="nobody/nothing").missing() or "")
