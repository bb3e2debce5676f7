from __future__ import annotations

import pytest

from rag.evaluate.datasets import Question
from rag.evaluate.measures import Case, Found
from rag.evaluate.measures_of_answers import ANSWERS
from rag.evaluate.metrics_citations import Attribution, Words, attribution, statements
from rag.evaluate.metrics_context import context_precision, correctness
from rag.types import Answer, Citation, Support, Verdict


def test_a_citation_that_is_not_needed_costs_precision() -> None:
    # both support together, 1 alone supports, 2 does not, and without 2 the rest still supports
    assert attribution([(1, 2)], lambda at, numbers: 1 in numbers) == Attribution(precision=0.5, recall=1.0)


def test_two_citations_that_only_support_together_are_both_needed() -> None:
    assert attribution([(1, 2)], lambda at, numbers: {1, 2} <= set(numbers)) == Attribution(1.0, 1.0)


def test_a_lone_citation_counts_if_it_supports_and_a_sentence_without_one_is_not_supported() -> None:
    found = attribution([(1,), (2,), ()], lambda at, numbers: at == 0)
    assert found.recall == pytest.approx(1 / 3)
    assert found.precision == 0.5


def test_an_answer_that_cites_nothing_is_0_and_no_answer_has_no_value() -> None:
    assert attribution([()], lambda at, numbers: True) == Attribution(0.0, 0.0)
    with pytest.raises(ValueError, match="no statement"):
        attribution([], lambda at, numbers: True)


def test_statements_are_sentences_with_what_they_cite_and_without_markers() -> None:
    text = "Dogs bark. [1] Owls hoot [2][3]."
    answer = Answer(query="?", text=text, citations=(Citation(0, 14, (1,)), Citation(15, 32, (2, 3))))
    found = statements(answer)
    assert [statement.cited for statement in found] == [(1,), (2, 3)]
    assert [statement.text for statement in found] == ["Dogs bark.", "Owls hoot."]


def test_words_support_a_statement_from_six_of_ten_on() -> None:
    words = Words()
    statement = "red green blue white black grey pink brown gold silver"
    six = " ".join(statement.split()[:6])
    five = " ".join(statement.split()[:5])
    assert words.support(statement, six)
    assert not words.support(statement, five)
    assert words.support("It is not.", "anything")  # no content word


def test_context_precision_is_over_the_relevant_that_were_found() -> None:
    assert context_precision([True, False, True]) == pytest.approx((1 + 2 / 3) / 2)
    assert context_precision([False, False, True]) == pytest.approx(1 / 3)
    assert context_precision([False]) == context_precision([]) == 0.0


def test_correctness_weighs_claims_three_times_as_much_as_similarity() -> None:
    assert correctness(2, 1, 1, similarity=0.9) == pytest.approx(0.75 * 2 / 3 + 0.225)
    assert correctness(0, 0, 0, similarity=0.0) == 0.75


def checked(*verdicts: Verdict | None, uncited: int = 0, abstained: bool = False) -> Found:
    supports = [Support(verdict=verdict, words=1.0) if verdict else None for verdict in verdicts]
    citations = tuple(Citation(at, at + 1, (1,), (), support) for at, support in enumerate(supports))
    gaps = tuple((100 + at, 101 + at) for at in range(uncited))
    return Found(answer=Answer(query="?", text="", citations=citations, uncited=gaps, abstained=abstained))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (checked("supported", "weak", "unsupported", uncited=1), 0.25),
        (checked("supported"), 1.0),
        (checked(uncited=2), 0.0),
        (checked(), None),
        (checked("supported", None), None),  # a citer that does not check
        (checked("supported", abstained=True), None),
        (Found(), None),
    ],
)
def test_supported_sentences_are_the_share_the_citer_found_supported(found: Found, expected: float | None) -> None:
    score = ANSWERS["supported-sentences"].score
    assert score(Case(question=Question(id="q", text="?")), found) == expected
