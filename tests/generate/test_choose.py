"""What is quoted beside the best sentence."""

from __future__ import annotations

from rag.generate.choose import choose, completed, distinct, linked
from rag.generate.quotes import Quote
from rag.generate.select import Candidate
from rag.types import Evidence, Location, Prompt, Span


class Words:
    """Coverage by plain words, all alike: known by hand."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def share(self, found: frozenset[str]) -> float:
        return len(found) / len(self.words)

    def coverage(self, text: str) -> float:
        return sum(word in text for word in self.words) / len(self.words)


def candidate(text: str, *, evidence: int = 1, start: int = 0, score: float = 0.0, row: bool = False) -> Candidate:
    quote = Quote(evidence, start, start + len(text), text, row=row)
    terms = frozenset(word for word in TERMS.words if word in text)
    return Candidate(
        quote,
        terms,
        coverage=len(terms) / len(TERMS.words),
        so_far=0.0,
        passage_coverage=0.0,
        expected=False,
        rank=0,
        nearness=score - len(terms) / (2 * len(TERMS.words)),  # so that the score is what it says
    )


TERMS = Words("stock", "options", "vest", "years")
BEST = candidate("stock options are granted", start=10, score=1.0)


def passage(*headings: str) -> Evidence:
    return Evidence(span=Span("d", 0, 1), text=".", score=1.0, chunk_id="c", location=Location(headings=headings))


def prompt(*evidence: Evidence) -> Prompt:
    return Prompt(question="When do stock options vest?", evidence=evidence)


def chosen(*others: Candidate, most: int = 3) -> list[Candidate]:
    return completed([BEST], [BEST, *others], TERMS, most=most)  # type: ignore[arg-type]  # a stand-in


def together(*ranked: Candidate, most: int = 3) -> list[Candidate]:
    return choose(ranked, prompt(passage(), passage(), passage()), TERMS, most=most)  # type: ignore[arg-type]


def test_a_candidate_of_these_tests_has_the_score_it_is_given() -> None:
    assert BEST.score == 1.0


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


def test_a_sentence_that_is_only_nearly_as_good_has_to_add_words_of_the_question() -> None:
    adds = candidate("the years count", evidence=2, score=0.75)
    repeats = candidate("stock options again", evidence=3, score=0.75)
    assert together(BEST, adds, repeats) == [BEST, adds]
    as_good = candidate("stock options again", evidence=3, score=0.85)
    assert together(BEST, as_good) == [BEST, as_good]
    far_behind = candidate("the years count", evidence=2, score=0.65)
    assert together(BEST, far_behind) == [BEST]


def test_of_a_table_only_the_rows_with_most_of_the_question_are_quoted() -> None:
    nearest = candidate("stock | yearly", start=0, score=1.0, row=True)
    asked_for = candidate("stock options | monthly", start=20, score=0.95, row=True)
    other_table = candidate("vest | red", evidence=2, score=0.9, row=True)
    assert together(nearest, asked_for, other_table) == [asked_for, other_table]


def test_fewer_quotes_are_the_first_of_more() -> None:
    ranked = [BEST, candidate("they vest", start=50, score=0.9), candidate("in years", evidence=2, score=0.85)]
    everything = together(*ranked)
    assert len(everything) == 3
    assert [together(*ranked, most=most) for most in (1, 2)] == [everything[:1], everything[:2]]


def test_a_sentence_merged_with_its_copy_elsewhere_is_not_added_again() -> None:
    copy = candidate("stock options are granted", evidence=2, score=0.9)
    [merged] = distinct([BEST, copy])
    assert [each.also_in for each in together(BEST, copy)] == [merged.also_in] == [(2,)]


def test_the_passage_whose_title_is_quoted_is_quoted_too() -> None:
    named = candidate("it was directed by Ann Lee in Rome", score=1.0)
    about = candidate("she was born in 1890", evidence=2)
    second = candidate("she died in 1960", evidence=2, start=30)
    asked = prompt(passage("The Barn"), passage("Ann Lee (director)", "Life"))
    assert linked([named], [named, about, second], asked, most=3) == [named, about]
    assert linked([named], [named, about, second], asked, most=1) == [named]


def test_a_title_links_nothing_that_the_question_names_or_that_only_begins_the_sentence() -> None:
    asked = prompt(passage("Pay"), passage("Leave"))
    begins = candidate("Leave is counted in half days")
    there = candidate("ask early", evidence=2)
    assert linked([begins], [begins, there], asked, most=3) == [begins]
    within = candidate("it is counted by Leave of London")
    assert linked([within], [within, there], asked, most=3) == [within, there]
    known = Prompt(question="Who counts Leave?", evidence=asked.evidence)
    assert linked([within], [within, there], known, most=3) == [within]
    lower = prompt(passage("Pay"), passage("leave"))
    assert linked([within], [within, there], lower, most=3) == [within]
