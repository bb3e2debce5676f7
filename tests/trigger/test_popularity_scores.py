"""Thresholds of popularity, on answers written down."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.trigger.popularity_scores import Fit, Outcome, accuracy, fit_by_relation, fit_threshold, held_out


def outcomes(popularity: list[float], memory: list[int], retrieval: list[int]) -> list[Outcome]:
    rows = zip(popularity, memory, retrieval, strict=True)
    return [Outcome(value, bool(first), bool(second)) for value, first, second in rows]


def test_the_threshold_parts_what_is_known_from_what_is_not() -> None:
    fit = fit_threshold(outcomes([1, 10, 100, 1000], [0, 0, 1, 1], [1, 1, 0, 0]))
    assert 10 < fit.threshold < 100
    assert fit.accuracy == 1.0


def test_it_lies_halfway_on_a_logarithmic_scale() -> None:
    fit = fit_threshold(outcomes([0, 3], [0, 1], [1, 0]))
    assert fit.threshold == pytest.approx(1.0)  # (1 + 0) * (1 + 3) = (1 + 1) ** 2


def test_of_equal_thresholds_the_one_that_retrieves_more_is_taken() -> None:
    assert fit_threshold(outcomes([1, 10], [1, 1], [1, 1])).threshold == inf
    # Right answers: 1 for never, 2 below 10, 1 below 100, 2 always.
    assert fit_threshold(outcomes([1, 10, 100], [0, 1, 0], [1, 0, 1])).threshold == inf


def test_a_model_that_knows_all_never_retrieves() -> None:
    fit = fit_threshold(outcomes([1, 10], [1, 1], [0, 0]))
    assert fit.threshold == 0
    assert fit.accuracy == 1.0


def test_questions_of_the_same_popularity_are_never_parted() -> None:
    fit = fit_threshold(outcomes([5, 5, 5], [1, 0, 0], [0, 1, 1]))
    assert fit.threshold == inf
    assert fit.accuracy == pytest.approx(2 / 3)


def test_every_relation_has_its_own_threshold_and_all_have_one_together() -> None:
    born = outcomes([1, 100], [0, 1], [1, 0])
    capital = outcomes([1, 100], [1, 1], [0, 0])
    fits = fit_by_relation([*(("born", one) for one in born), *(("capital", one) for one in capital)])
    assert 1 < fits["born"].threshold < 100
    assert fits["capital"].threshold == 0
    # Never: 3 of 4. Below 100: again 3, so that is taken. Always: 1.
    assert 1 < fits[""].threshold < 100
    assert fits[""].accuracy == 0.75


@pytest.mark.parametrize("bad", [[], [Outcome(-1, True, True)]])
def test_no_answers_or_negative_popularities_are_refused(bad: list[Outcome]) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        fit_threshold(bad)


rows = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=12)


@given(rows)
def test_no_threshold_is_better_and_the_accuracy_is_that_of_the_threshold(rows: list[tuple[int, bool, bool]]) -> None:
    given_rows = [Outcome(*row) for row in rows]

    def accuracy(threshold: float) -> float:
        right = [one.with_retrieval if one.popularity < threshold else one.from_memory for one in given_rows]
        return sum(right) / len(right)

    fit = fit_threshold(given_rows)
    assert fit.accuracy == accuracy(fit.threshold)
    assert fit.accuracy >= max(accuracy(threshold) for threshold in [0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, inf])


def test_a_quarter_of_each_relation_is_held_out_and_the_rest_is_fitted_on() -> None:
    rows = [(relation, Outcome(float(at), True, False)) for relation in ("a", "b") for at in range(8)]
    fit, test = held_out([*rows, ("c", Outcome(1.0, True, False))])
    assert sorted(relation for relation, _ in test) == ["a", "a", "b", "b"]
    assert sorted([*fit, *test], key=str) == sorted([*rows, ("c", Outcome(1.0, True, False))], key=str)


def test_accuracy_goes_by_the_relation_s_threshold_and_else_by_the_common_one() -> None:
    fits = {"": Fit(10.0, 1.0), "a": Fit(0.0, 1.0)}
    rows = [("a", Outcome(5.0, True, False)), ("b", Outcome(5.0, False, True)), ("b", Outcome(10.0, False, True))]
    assert accuracy(rows, fits) == pytest.approx(2 / 3)
