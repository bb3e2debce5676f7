from __future__ import annotations

from itertools import pairwise, permutations
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.abstention import Judged, accuracy_at, fit_weights, risk_area, separation
from rag.pipeline.doubt import probability

answers = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=6)


def test_a_curve_is_worked_out_by_hand() -> None:
    confidences, right = [0.9, 0.8, 0.6, 0.1], [True, False, True, False]
    # right among the first: 1, 1, 2, 2; wrong shares 0, 1/2, 1/3, 1/2
    assert risk_area(confidences, right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert [accuracy_at(confidences, right, share) for share in (0.25, 0.5, 1.0)] == [1.0, 0.5, 0.5]
    assert separation(confidences, right) == 0.75


@given(answers)
def test_equal_confidences_count_as_the_mean_over_their_orders(drawn: list[tuple[int, bool]]) -> None:
    confidences, right = [value for value, _ in drawn], [good for _, good in drawn]
    orders = [
        order
        for order in permutations(range(len(drawn)))
        if all(confidences[one] >= confidences[other] for one, other in pairwise(order))
    ]
    for count in range(1, len(drawn) + 1):
        mean = sum(sum(right[at] for at in order[:count]) for order in orders) / len(orders) / count
        assert accuracy_at(confidences, right, count / len(drawn)) == pytest.approx(mean)


def test_a_regression_of_one_two_valued_signal_finds_the_log_odds() -> None:
    # Of the answers with the signal 3 of 4 are right, of those without 1 of 4: log 3 and -log 3.
    rows = [Judged({"a": 1.0}, at < 3) for at in range(4)] + [Judged({"a": 0.0}, at < 1) for at in range(4)]
    fit = fit_weights(rows, ["a"], penalty=0.0)
    assert fit.weights["a"] == pytest.approx(2 * log(3))
    assert fit.bias == pytest.approx(-log(3))
    assert fit.odds({"a": 1.0}) == pytest.approx(log(3))
    assert probability({"a": 1.0}, fit.weights, fit.bias) == pytest.approx(0.75)


def test_a_penalty_keeps_weights_finite_where_a_signal_separates_all() -> None:
    rows = [Judged({"a": float(at), "same": 2.0}, at > 4) for at in range(10)]
    fit = fit_weights(rows, ["a", "same"])
    assert 0 < fit.weights["a"] < 5
    assert fit.weights["same"] == 0.0


def test_answers_of_one_kind_or_without_a_signal_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        fit_weights([Judged({"a": 1.0}, True)], ["a"])
    with pytest.raises(ValueError, match="b: not measured"):
        fit_weights([Judged({"a": 1.0}, True), Judged({"a": 1.0, "b": 2.0}, False)], ["a", "b"])
    with pytest.raises(ValueError, match="wrong ones"):
        separation([1.0], [True])
    with pytest.raises(ValueError, match="0 of 2"):
        accuracy_at([1.0, 2.0], [True, False], 0.1)
