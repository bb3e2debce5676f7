from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.statistics import SAMPLES, bootstrap, holm, paired_t, sample_deviation, sign_flip


def test_three_equal_gains_have_two_of_eight_sign_patterns_as_extreme() -> None:
    assert sign_flip([0.1, 0.1, 0.1], seed=0) == 0.25


@given(st.lists(st.integers(-5, 5).map(lambda tenths: tenths / 10), min_size=1, max_size=8))
def test_the_exact_test_counts_every_sign_pattern(differences: list[float]) -> None:
    observed = abs(sum(differences))
    patterns = list(product((1, -1), repeat=len(differences)))
    hits = sum(
        abs(sum(sign * difference for sign, difference in zip(signs, differences, strict=True))) >= observed - 1e-12
        for signs in patterns
    )
    assert sign_flip(differences, seed=0) == pytest.approx(hits / len(patterns))


def test_beyond_16_differences_p_is_sampled_repeats_with_its_seed_and_is_never_0() -> None:
    differences = [0.1] * 40
    assert sign_flip(differences, seed=1) == 1 / (1 + SAMPLES)
    mixed = [0.1, -0.09] * 20
    assert sign_flip(mixed, seed=1) == sign_flip(mixed, seed=1)
    assert abs(sign_flip(mixed, seed=1) - sign_flip(mixed, seed=2)) < 0.03


def test_questions_that_tie_change_nothing() -> None:
    assert sign_flip([0.1, 0.1, 0.1] + [0.0] * 500, seed=0) == 0.25
    assert sign_flip([0.0] * 20, seed=0) == 1.0


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_t_test_of_a_small_example_is_that_of_the_tables() -> None:
    found = paired_t([0.1, 0.2, 0.3])
    assert found is not None
    assert found == pytest.approx((3.4641, 0.0742), abs=1e-4)
    # t = 2.0 and 2.228 with 10 degrees of freedom; 2.228 is the 5 % point
    values = [1.0] * 11
    assert paired_t(values) is None
    assert paired_t([0.5]) is None


def test_the_t_test_agrees_with_the_5_percent_points_of_the_tables() -> None:
    for degrees, point in ((1, 12.706), (4, 2.776), (10, 2.228), (30, 2.042), (120, 1.980)):
        n = degrees + 1
        shape = [(-1.0) ** at for at in range(n)] if n % 2 == 0 else [0.0, *((-1.0) ** at for at in range(n - 1))]
        shift = point * sample_deviation(shape) / n**0.5
        found = paired_t([value + shift for value in shape])
        assert found is not None
        assert found[1] == pytest.approx(0.05, abs=2e-4)


def test_the_interval_of_equal_values_is_the_value_and_that_of_others_holds_the_mean() -> None:
    assert bootstrap([0.5] * 10, seed=0) == (0.5, 0.5)
    low, high = bootstrap([0.0, 1.0] * 50, seed=0)
    # standard error 0.05: the normal interval is 0.5 ± 0.098
    assert low == pytest.approx(0.402, abs=0.02)
    assert high == pytest.approx(0.598, abs=0.02)
    assert bootstrap([0.0, 1.0], seed=3) == bootstrap([0.0, 1.0], seed=3)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([], seed=0)
