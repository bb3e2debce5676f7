"""Sentences quoted because they go on where the best one stops."""

from __future__ import annotations

from rag.generate.quotes import Quote
from rag.generate.select import Candidate, completed


class Words:
    """Coverage by plain words, all alike: known by hand."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def coverage(self, text: str) -> float:
        return sum(word in text for word in self.words) / len(self.words)


def candidate(text: str, *, evidence: int = 1, start: int = 0) -> Candidate:
    quote = Quote(evidence, start, start + len(text), text)
    return Candidate(quote, coverage=0.0, passage_coverage=0.0, rank=0, nearness=0.0)


BEST = candidate("stock options are granted", start=10)
TERMS = Words("stock", "options", "vest", "years")


def chosen(*others: Candidate, most: int = 3) -> list[Candidate]:
    return completed([BEST], [BEST, *others], TERMS, most=most)  # type: ignore[arg-type]  # a stand-in


def test_a_later_sentence_of_the_passage_with_a_missing_word_is_added() -> None:
    follows = candidate("they vest slowly", start=50)
    assert chosen(follows) == [BEST, follows]


def test_what_stands_before_or_in_another_source_or_adds_nothing_is_not() -> None:
    before, elsewhere = candidate("they vest", start=0), candidate("they vest", evidence=2, start=50)
    nothing_new = candidate("stock options again", start=60)
    assert chosen(before, elsewhere, nothing_new) == [BEST]


def test_no_more_than_asked_for_are_quoted() -> None:
    first, second = candidate("they vest", start=50), candidate("in years", start=60)
    assert chosen(first, second, most=2) == [BEST, first]
