from __future__ import annotations

import math

import numpy as np
import pytest

from rag.chunk.topic import TopicChunker, similarities, smoothed, valleys
from rag.embed.hash import WordTokenizer
from rag.types import Document

CATS = ["Cats like mats.", "A cat sleeps on mats.", "Mats please a cat.", "The mat suits cats."]
SHIPS = ["Ships need sails.", "The sail drives a ship.", "A ship sets sails.", "Sails suit ships."]


def texts(chunker: TopicChunker, text: str) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(Document(id="d", text=text))]


def test_similarity_is_the_cosine_of_the_terms_on_both_sides() -> None:
    terms = [["a", "b"], ["a", "a"], ["c"], ["a", "c"]]
    # ab and aa with two terms on each side; with three: abaa and cac, then aac and ac
    expected = [2 / math.sqrt(2 * 4), 3 / math.sqrt(10 * 5), 3 / math.sqrt(5 * 2)]
    found = similarities(terms, block=2)
    assert found[0] == pytest.approx(expected[0])
    assert similarities(terms, block=3)[1] == pytest.approx(expected[1])
    assert similarities(terms, block=3)[2] == pytest.approx(expected[2])


def test_a_side_without_terms_is_similar_to_nothing() -> None:
    assert similarities([["a"], [], ["a"]], block=1).tolist() == [1.0, 1.0]  # sides reach over the empty sentence
    assert similarities([[], ["a"]], block=1).tolist() == [0.0]
    assert similarities([["a"]], block=1).tolist() == []


def test_smoothing_averages_with_the_neighbours() -> None:
    assert smoothed(np.array([0.0, 0.6, 0.3])).tolist() == pytest.approx([0.6 / 3, 1.5 / 4, 1.2 / 3])
    assert smoothed(np.zeros(0)).tolist() == []


def test_valleys_are_local_minima_deeper_than_the_cutoff() -> None:
    # depths 0, 1.0, 0, 1.1, 0, 0.3, 0: mean 0.3429, deviation 0.4562
    values = np.array([0.8, 0.2, 0.6, 0.1, 0.7, 0.5, 0.6])
    assert [at for at, _ in valleys(values, cutoff=0.5)] == [1, 3, 5]  # above 0.1148
    assert [at for at, _ in valleys(values, cutoff=0.0)] == [1, 3]  # above 0.3429
    assert [at for at, _ in valleys(values, cutoff=-1.6)] == [3]  # above 1.0728
    assert [depth for _, depth in valleys(values, cutoff=0.5)] == pytest.approx([1.0, 1.1, 0.3])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 0.2, 0.2, 0.5], [1]),  # a flat valley once
        ([0.5, 0.3, 0.3, 0.1], []),  # a step on the way down, and the end
        ([0.1, 0.5, 0.1], []),  # the ends are no valleys
        ([0.4] * 5, []),
        ([], []),
    ],
)
def test_what_is_a_valley(values: list[float], expected: list[int]) -> None:
    assert [at for at, _ in valleys(np.array(values), cutoff=3)] == expected


def test_the_text_is_cut_where_the_words_change() -> None:
    chunker = TopicChunker(WordTokenizer(), unit="words", size=100, block=3)
    assert texts(chunker, " ".join(CATS + SHIPS)) == [" ".join(CATS), " ".join(SHIPS)]


def test_a_long_stretch_of_one_topic_is_cut_between_sentences() -> None:
    chunker = TopicChunker(WordTokenizer(), unit="words", size=13, block=3)
    assert texts(chunker, " ".join(CATS + SHIPS)) == [
        " ".join(CATS[:3]),
        CATS[3],
        " ".join(SHIPS[:3]),
        SHIPS[3],
    ]


def test_the_words_of_another_script_are_compared_too() -> None:
    cats = "猫喜欢睡觉。猫在垫子上睡觉。垫子上有一只猫。猫喜欢垫子。"
    ships = "船在海上航行。海风推动船帆。船需要船帆和海风。航行的船在海上。"
    chunker = TopicChunker(WordTokenizer(), unit="characters", size=100, block=12)
    assert texts(chunker, cats + ships) == [cats, ships]
