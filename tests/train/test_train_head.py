from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.models.linear_head import LinearHead
from rag.train.head import Case, CaseSet, Floats, _chosen, _derivatives, _List, _loss, fit, judge, train_head


def case(untrained: list[float], sign: list[float], right: list[float], *, taught: list[bool] | None = None) -> Case:
    """The figure is 1 where a right candidate comes first, else 0."""
    shares = np.array(right, np.float64)

    def figure(scores: Floats) -> float:
        return float(shares[int(np.argmax(scores))] > 0)

    return Case(
        untrained=np.array(untrained, np.float64),
        signs={"sign": np.array(sign, np.float64)},
        right=shares,
        taught=np.array(taught or [True] * len(right)),
        figure=figure,
    )


def test_the_loss_is_the_cross_entropy_of_the_softmax_and_the_ridge() -> None:
    """Scores ln 3 and 0 give 3/4 and 1/4: -ln 3/4 where the first is right. The ridge of 2 on a weight of 3 is 9."""
    lists = [_List.of(case([log(3), 0.0], [0.0, 0.0], [1, 0]), ["sign"], weight=1.0)]
    value = _loss(lists, np.array([1.0, 3.0]), np.array([0.0, 2.0]))
    assert value == pytest.approx(-log(3 / 4) + 9)


def test_a_fit_finds_the_weight_that_the_share_of_right_candidates_asks_for() -> None:
    """Three times the candidate with the sign is right, once the other: e^w / (e^w + 1) = 3/4, so w = ln 3.

    The untrained scores, 1 and 0 and 0 and 1 in turns, say nothing about it but order pairs of another kind: there the
    first of two is right three times of four as well, so t = ln 3 and the weight in its units is 1.
    """
    by_sign = [case([0, 0], [1, 0], [1, 0])] * 3 + [case([0, 0], [1, 0], [0, 1])]
    by_score = [case([1, 0], [0, 0], [1, 0])] * 3 + [case([1, 0], [0, 0], [0, 1])]
    head = fit([by_sign + by_score], ["sign"], ridge=0.0)
    assert head.weights["sign"] == pytest.approx(1.0, abs=1e-5)


def test_a_strong_ridge_leaves_every_score_as_it_is() -> None:
    cases = [case([1, 0], [0, 1], [0, 1]), case([1, 0], [0, 1], [1, 0]), case([1, 0], [0, 1], [1, 0])]
    assert fit([cases], ["sign"], ridge=1e6).weights["sign"] == pytest.approx(0.0, abs=1e-4)


def test_candidates_that_are_neither_right_nor_wrong_take_no_part() -> None:
    plain = [case([1, 0], [1, 0], [1, 0]), case([1, 0], [0, 1], [1, 0]), case([0, 1], [1, 0], [1, 0])]
    beside = [
        case([*each.untrained, 9.0], [*each.signs["sign"], -5.0], [*each.right, 0.0], taught=[True, True, False])
        for each in plain
    ]
    expected, found = fit([plain], ["sign"], ridge=0.1), fit([beside], ["sign"], ridge=0.1)
    assert found.weights["sign"] == pytest.approx(expected.weights["sign"])


def test_untrained_scores_that_point_the_wrong_way_still_decide_among_equals() -> None:
    head = fit([[case([0, 1], [1, 0], [1, 0])] * 3], ["sign"], ridge=0.01)
    assert head.weights["sign"] > 1  # more than the untrained scores say
    assert head.scores(np.array([0.0, 1.0]), {"sign": np.array([0.5, 0.5])}).argmax() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_slope_and_curvature_are_those_of_the_loss(seed: int) -> None:
    random = np.random.default_rng(seed)
    made = [
        case(random.normal(size=4).tolist(), random.normal(size=4).tolist(), random.random(4).tolist()) for _ in "abc"
    ]
    lists = [_List.of(each, ["sign"], weight=1 / 3) for each in made]
    theta, penalty = random.normal(size=2), np.array([0.0, 0.3])
    slope, curvature = _derivatives(lists, theta, penalty)
    for at in range(2):
        step = np.eye(2)[at] * 1e-5
        numeric = (_loss(lists, theta + step, penalty) - _loss(lists, theta - step, penalty)) / 2e-5
        assert slope[at] == pytest.approx(numeric, abs=1e-7)
        above, below = _derivatives(lists, theta + step, penalty)[0], _derivatives(lists, theta - step, penalty)[0]
        assert curvature[at] == pytest.approx((above - below) / 2e-5, abs=1e-6)


def informative(count: int, *, seed: int) -> list[Case]:
    """The right candidate is that with the largest sign; untrained scores are nearly chance."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        sign = random.normal(size=6)
        right = np.zeros(6)
        right[int(np.argmax(sign))] = 1
        made.append(case((0.3 * right + random.normal(size=6)).tolist(), sign.tolist(), right.tolist()))
    return made


def test_what_helps_is_learnt_and_holds_on_questions_held_out_and_on_another_set() -> None:
    sets, unseen = [CaseSet("one", informative(100, seed=1))], [CaseSet("other", informative(40, seed=2))]
    head, report = train_head(sets, unseen, signs=["sign"], metric="first", seed=0)
    assert (report.training, report.validation) == (60, 20)
    [held_out], [other] = report.held_out, report.unseen
    assert (held_out.questions, other.questions) == (20, 40)
    assert held_out.after > held_out.before + 0.4
    assert other.after > other.before + 0.4
    assert other.p < 0.01
    assert report.gained
    assert head.weights == report.weights
    assert train_head(sets, unseen, signs=["sign"], metric="first", seed=0)[1] == report


def test_what_does_not_help_is_left_alone() -> None:
    """Untrained scores are always right, so no head is better on validation, and the one that comes out is empty."""
    random = np.random.default_rng(4)
    cases = [case([1, 0, 0], random.normal(size=3).tolist(), [1, 0, 0]) for _ in range(60)]
    head, report = train_head([CaseSet("one", cases)], [], signs=["sign"], metric="first", seed=0)
    assert head.weights == {}
    assert report.ridge is None
    assert (report.held_out[0].before, report.held_out[0].after, report.held_out[0].p) == (1, 1, 1)
    assert not report.gained


def test_of_heads_that_are_about_equal_the_one_that_changes_least_is_kept() -> None:
    """Against the best the first loses .5 on one of four questions (0.125 behind, error sqrt(3/64)/2 = 0.108); the
    second loses .1 and .1 and wins .1, which is 0.025 behind with an error of 0.041."""
    best = np.array([1.0, 1.0, 1.0, 1.0])
    behind, near = best - [0.5, 0, 0, 0], best - [0.1, 0.1, -0.1, 0]
    none = np.zeros(4)
    assert _chosen({None: [none], 3.0: [behind], 1.0: [near], 0.3: [best]}) == 1.0
    assert _chosen({None: [none], 3.0: [behind], 0.3: [best]}) == 0.3
    assert _chosen({None: [best], 3.0: [near], 0.3: [none]}) is None


def test_a_set_is_judged_question_by_question_with_and_without_the_head() -> None:
    cases = [case([1, 0], [0, 3], [0, 1])] * 3 + [case([1, 0], [0, 3], [1, 0])]
    judged = judge(CaseSet("x", cases), LinearHead({"sign": 1.0}), seed=0)
    assert (judged.questions, judged.before, judged.after) == (4, 0.25, 0.75)
    # Differences 1, 1, 1, -1: of 16 sign patterns those with a sum of 2 and more, or -2 and less, are 5 + 5.
    assert judged.p == 10 / 16


def test_few_questions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"49 questions .* too few to train on, expected 50"):
        train_head([CaseSet("x", informative(49, seed=0))], [], signs=["sign"], metric="first", seed=0)
    with pytest.raises(ConfigError, match="y: 4 questions are too few to judge on"):
        train_head(
            [CaseSet("x", informative(50, seed=0))],
            [CaseSet("y", informative(4, seed=0))],
            signs=["sign"],
            metric="first",
            seed=0,
        )


def test_softmax_shares_are_those_of_the_exponentials() -> None:
    """For the slope at w = 0 of one pair: the mean sign is (e 2 + 1 0) / (e + 1), the right one's is 2."""
    lists = [_List.of(case([1, 0], [2, 0], [1, 0]), ["sign"], weight=1.0)]
    slope, _ = _derivatives(lists, np.array([1.0, 0.0]), np.zeros(2))
    share = exp(1) / (exp(1) + 1)
    assert slope.tolist() == pytest.approx([share - 1, 2 * share - 2])
