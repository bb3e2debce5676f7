"""QuCo-RAG's two decisions, on counts written down."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rag.index.counts import Count
from rag.text.triples import Triple
from rag.trigger.quco_scores import Flag, flagged, is_final, rarity, says_nothing


class Written:
    """Counts from two tables; what is in neither occurs nowhere."""

    def __init__(self, counts: Mapping[str, Count], pairs: Mapping[tuple[str, str], Count]) -> None:
        self.counts = counts
        self.pairs = pairs
        self.windows: set[int] = set()

    def count(self, phrase: str) -> Count:
        return self.counts.get(phrase, Count(0))

    def cooccur(self, first: str, second: str, *, window: int) -> Count:
        self.windows.add(window)
        return self.pairs.get((first, second), Count(0))


def test_a_mean_hides_a_rare_entity_behind_a_frequent_one() -> None:
    found = rarity([5_000_000, 3], tau=1000)
    assert found.value == 2_500_001.5
    assert not found.rare


def test_the_minimum_does_not() -> None:
    assert rarity([5_000_000, 3], tau=1000, aggregate="min").rare


@pytest.mark.parametrize(("count", "rare"), [(999, True), (1000, False), (1001, False)])
def test_rare_is_strictly_below_tau(count: int, rare: bool) -> None:
    assert rarity([count], tau=1000).rare is rare


def test_unknown_counts_are_skipped_and_none_at_all_is_not_rare() -> None:
    assert rarity([None, 10, None], tau=11).value == 10
    assert rarity([None], tau=1000) == rarity([], tau=1000)
    assert not rarity([None], tau=1000).rare


def test_a_pair_that_never_occurs_is_in_doubt_and_one_that_does_is_not() -> None:
    never, once = Triple("Titanic", "was directed by", "Ed Wood"), Triple("Titanic", "was directed by", "James Cameron")
    counts = Written({}, {("Titanic", "James Cameron"): Count(1)})
    assert flagged([never, once], counts, window=1000) == [Flag(never, Count(0))]
    assert Flag(never, Count(0)).query == "Titanic was directed by"
    assert counts.windows == {1000}


@pytest.mark.parametrize(("head", "least", "doubted"), [(19, 20, True), (20, 20, False), (0, -1, False)])
def test_a_statement_without_a_tail_goes_by_its_head(head: int, least: int, doubted: bool) -> None:
    counts = Written({"Ed Wood": Count(head)}, {})
    assert bool(flagged([Triple("Ed Wood", "was filmmaker")], counts, least_head=least)) is doubted


def test_zero_of_a_count_that_is_not_exact_flags_nothing() -> None:
    counts = Written({}, {("Titanic", "film"): Count(0, exact=False)})
    assert flagged([Triple("Titanic", "is", "film")], counts) == []


def test_a_date_may_be_written_in_another_way_than_in_the_corpus() -> None:
    counts = Written({}, {("James Cameron", "August 16, 1954"): Count(1)})
    assert flagged([Triple("James Cameron", "was born on", "16 August 1954")], counts) == []
    assert len(flagged([Triple("James Cameron", "was born on", "17 August 1954")], counts)) == 1


def test_no_statements_no_doubts() -> None:
    assert flagged([], Written({}, {})) == []


@pytest.mark.parametrize(
    ("sentence", "nothing"),
    [
        ("The director is not mentioned.", True),
        ("The sources do not say who it was.", True),
        ("There is no information on that.", True),
        ("He is not an actor.", False),
        ("Nothing rhymes with orange.", False),
    ],
)
def test_a_sentence_that_says_it_does_not_know(sentence: str, nothing: bool) -> None:
    assert says_nothing(sentence) is nothing


def test_a_sentence_that_gives_the_answer() -> None:
    assert is_final("So the answer is Paris.")
    assert not is_final("He answered in Paris.")
