from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from rag.evaluate.metrics import (
    Grades,
    average_precision,
    exported,
    hit_rate,
    ndcg,
    precision,
    ranked,
    recall,
    reciprocal_rank,
)


class Metric(Protocol):
    def __call__(self, ranking: Sequence[str], grades: Grades, *, k: int | None = None) -> float: ...


GRADES = {"d1": 1, "d2": 2, "d9": 1}
RANKING = ["d2", "d7", "d1"]


def test_the_metrics_of_a_small_example_are_those_worked_out_by_hand() -> None:
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(RANKING, GRADES, k=10) == pytest.approx((2 + 1 / math.log2(4)) / ideal)
    assert ndcg(RANKING, GRADES, k=10) == pytest.approx(0.798485, abs=1e-6)
    assert recall(RANKING, GRADES, k=2) == pytest.approx(1 / 3)
    assert average_precision(RANKING, GRADES) == pytest.approx((1 + 2 / 3) / 3)
    assert reciprocal_rank(["d7", "d2"], GRADES) == 0.5
    assert precision(RANKING, GRADES, k=10) == pytest.approx(0.2)  # of 10 places, though 3 were found
    assert hit_rate(["d7", "d2"], GRADES, k=1) == 0.0


def test_nothing_found_is_0_and_nothing_relevant_has_no_value() -> None:
    metrics = (ndcg, recall, precision, average_precision, reciprocal_rank, hit_rate)
    assert [metric([], GRADES, k=10) for metric in metrics] == [0.0] * 6
    for metric in metrics:
        with pytest.raises(ValueError, match="no document is relevant"):
            metric(RANKING, {"d2": 0, "d7": -1}, k=10)


def test_a_document_that_stands_twice_is_refused_instead_of_counting_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        recall(["d2", "d2"], GRADES, k=10)
    with pytest.raises(ValueError, match="cut-off"):
        recall(RANKING, GRADES, k=0)


def test_equal_scores_rank_by_rising_id_and_nan_ranks_nothing() -> None:
    ranking, dropped = ranked([("d7", 1.0), ("d2", 1.0), ("d1", math.nan), ("d3", 2.0), ("d1", math.nan)])
    assert (ranking, dropped) == (["d3", "d2", "d7"], 2)


def test_a_document_named_twice_ranks_by_its_better_score() -> None:
    assert ranked([("a", 0.1), ("b", 0.5), ("a", 0.9)]) == (["a", "b"], 0)


def test_trec_eval_would_reverse_ties_so_exported_scores_fall_strictly() -> None:
    ranking, _ = ranked([("d1", 1.0), ("d2", 1.0), ("d7", 1.0)])
    tied = ir_measures.calc_aggregate([RR], {"q": {"d1": 1}}, {"q": dict.fromkeys(ranking, 1.0)})
    assert tied[RR] == pytest.approx(1 / 3)  # d7, d2, d1
    assert ir_measures.calc_aggregate([RR], {"q": {"d1": 1}}, {"q": exported(ranking)})[RR] == 1.0


DOCUMENTS = st.sampled_from([f"d{number}" for number in range(12)])
SCORES = st.one_of(st.sampled_from([0.0, 1.0, 1.0 + 1e-12, math.nan]), st.floats(-5, 5))
QRELS = st.dictionaries(DOCUMENTS, st.integers(-1, 3), min_size=1, max_size=10).filter(
    lambda grades: any(grade > 0 for grade in grades.values())
)
RUN = st.lists(st.tuples(DOCUMENTS, SCORES), max_size=20)
CUT_OFFS = (1, 3, 10, 100)


@settings(max_examples=120, deadline=None)
@given(qrels=st.lists(QRELS, min_size=1, max_size=4), runs=st.lists(RUN, min_size=4, max_size=4))
def test_every_metric_equals_ir_measures_with_ties_duplicates_nan_and_missing_questions(
    qrels: list[dict[str, int]], runs: list[list[tuple[str, float]]]
) -> None:
    rankings = {f"q{at}": ranked(run)[0] for at, run in enumerate(runs[: len(qrels)])}
    judged = {f"q{at}": grades for at, grades in enumerate(qrels)}
    run = {question: exported(ranking) for question, ranking in rankings.items() if ranking}
    pairs: list[tuple[ir_measures.Measure, Metric, int | None]]
    pairs = [(nDCG, ndcg, None), (AP, average_precision, None), (RR, reciprocal_rank, None)]
    pairs += [
        (measure @ k, function, k)
        for measure, function in (
            (nDCG, ndcg),
            (R, recall),
            (P, precision),
            (RR, reciprocal_rank),
            (AP, average_precision),
            (Success, hit_rate),
        )
        for k in CUT_OFFS
    ]
    theirs = ir_measures.calc_aggregate([measure for measure, _, _ in pairs], judged, run)
    for measure, function, k in pairs:
        ours = sum(function(rankings[question], judged[question], k=k) for question in judged) / len(judged)
        assert ours == pytest.approx(theirs[measure], abs=1e-9), str(measure)
