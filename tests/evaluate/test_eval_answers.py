from __future__ import annotations

import pytest

from rag.evaluate.metrics_answers import contains_answer, exact_match, f1
from rag.text.answers import tokens


def test_normalising_takes_off_case_punctuation_and_articles() -> None:
    assert tokens("The Eiffel-Tower!") == ["eiffeltower"]
    assert tokens("  An  apple\n a day ") == ["apple", "day"]
    assert tokens("“Rock & Roll”…") == ["rock", "roll"]


def test_full_width_digits_are_digits_and_an_article_inside_a_word_stays() -> None:
    assert tokens("３月 theory") == ["3", "月", "theory"]


def test_chinese_is_compared_character_by_character() -> None:
    assert exact_match("光荣和ω-force。", ["光荣和ω-force"]) == 1.0
    # 村雨城 against 任天堂游戏村雨城: 3 of 3 and 3 of 8 characters
    assert f1("村雨城", ["任天堂游戏村雨城"]) == pytest.approx(2 * 3 / 11)
    assert contains_answer("死亡人数为12人。", ["12人"]) == 1.0


def test_f1_counts_words_with_repetitions() -> None:
    assert f1("the cat sat", ["a cat sat down"]) == pytest.approx(0.8)
    assert f1("to be or not to be", ["to be"]) == pytest.approx(2 * 2 / 8)


def test_each_metric_takes_the_gold_that_suits_it_best() -> None:
    golds = ["cat", "black cat sat here"]
    assert exact_match("cat", golds) == 1.0
    assert f1("black cat sat", golds) == pytest.approx(6 / 7)


def test_yes_with_more_words_is_not_yes() -> None:
    assert f1("yes", ["yes it is"]) == 0.0
    assert f1("yes it is", ["yes"]) == 0.0
    assert f1("Yes.", ["yes"]) == 1.0


def test_an_empty_answer_is_right_only_where_the_gold_is_empty() -> None:
    for metric in (exact_match, f1, contains_answer):
        assert metric("", [""]) == 1.0
        assert metric("", ["cat"]) == 0.0
        assert metric("cat", [""]) == 0.0


def test_containing_means_whole_words() -> None:
    assert contains_answer("It was the United States of America.", ["United States"]) == 1.0
    assert contains_answer("It was 1961.", ["196"]) == 0.0


def test_no_reference_has_no_value() -> None:
    with pytest.raises(ValueError, match="no reference"):
        exact_match("cat", [])
