from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.rerank.proximity import Proximity, proximity

terms = st.lists(st.sampled_from("abcdef"), max_size=30)
EQUAL = dict.fromkeys("abcdef", 1.0)


def test_a_pair_counts_in_place_once_and_near_wherever_it_stands_within_eight() -> None:
    # "a b" stands once in place, and twice near: the second b is 3 after the a. "b c" is 9 apart at the nearest.
    text = ["a", "b", "x", "b", *"xxxxxxxx", "c"]
    found = proximity(["a", "b", "c"], text, EQUAL)
    assert found.phrases == pytest.approx((1 / 2.2) / 2)
    assert found.near == pytest.approx((2 / 3.2) / 2)


def test_a_pair_counts_as_much_as_its_commoner_term() -> None:
    weights = {"a": 4.0, "b": 1.0, "c": 3.0}
    assert proximity(["a", "b", "c"], ["b", "c"], weights).phrases == pytest.approx(1 / (1 + 1) * (1 / 2.2))
    weights["c"] = 0.5
    assert proximity(["a", "b", "c"], ["b", "c"], weights).phrases == pytest.approx(0.5 / 1.5 * (1 / 2.2))


def test_a_reversed_pair_is_near_and_no_phrase() -> None:
    assert proximity(["a", "b"], ["b", "a"], EQUAL) == Proximity(phrases=0.0, near=1 / 2.2)


def test_a_question_of_one_term_or_of_terms_without_weight_has_no_pairs() -> None:
    for question in ([], ["a"], ["a", "a"], ["x", "y"]):
        assert proximity(question, ["a", "a", "x", "y"], EQUAL) == Proximity(0.0, 0.0)


@given(terms, terms)
def test_shares_are_between_0_and_1_and_a_phrase_is_near(question: list[str], text: list[str]) -> None:
    found = proximity(question, text, EQUAL)
    assert 0 <= found.phrases <= found.near <= 1


@given(terms, terms)
def test_what_is_added_to_a_text_takes_nothing_away(question: list[str], text: list[str]) -> None:
    before, after = proximity(question, text, EQUAL), proximity(question, [*text, *"abcdef"], EQUAL)
    assert before.near <= after.near + 1e-12
    assert before.phrases <= after.phrases + 1e-12
