from __future__ import annotations

from decimal import Decimal

import pytest

from rag.cite.facts import denied, initials, names, numbers, numbers_to_meet, without_numbers
from rag.text.analyze import Analyzer


def values(*written: str) -> set[Decimal]:
    return {Decimal(each) for each in written}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It cost $1,500,000 in 1990.", ("1500000", "1990")),
        ("1.5 million people", ("1500000",)),
        ("3,5 % oder 1\u202f000 Stück", ("3.5", "1000")),
        ("on 12.05.1990", ("12", "5", "1990")),
        ("the 3rd of the 1990s", ("3", "1990")),
        ("no digits, one word", ()),
        ("x² is a square", ()),
    ],
)
def test_numbers_compare_by_value(text: str, expected: tuple[str, ...]) -> None:
    assert numbers(text) == values(*expected)


def test_evidence_may_give_a_number_in_words_or_without_its_scale() -> None:
    assert numbers_to_meet("The second of three ships, 1.5 million tons") == values("2", "3", "1.5", "1500000")


def test_a_number_inside_a_word_is_part_of_the_word() -> None:
    assert without_numbers("Covid-19 killed 1.5 million in the 1920s").split() == [
        "Covid-19", "killed", "in", "the",
    ]  # fmt: skip


def test_a_capital_that_opens_a_sentence_makes_no_name() -> None:
    assert names("Dogs bark in London.") == ["London"]
    assert names("The Pope met Barack Obama.") == ["Pope", "Barack", "Obama"]
    assert names("Barack Obama barked.") == ["Barack", "Obama"]


def test_initials_pass_over_small_words_and_end_at_others() -> None:
    found = initials("the Bank of England in London pays Norway")
    assert {"be", "el", "bel"} <= found
    assert "ln" not in found


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The dog does not bark.", {"bark"}),
        ("The dog doesn’t bark.", {"bark"}),
        ("It never really bites.", {"realli"}),
        ("Not only dogs bark.", set()),
        ("Собака не лает.", {"лает"}),
        ("Der Hund ist kein Wolf.", {"wolf"}),
        ("Dogs bark.", set()),
    ],
)
def test_what_stands_behind_a_negation_is_denied(sentence: str, expected: set[str]) -> None:
    assert denied(sentence, Analyzer()) == expected
