from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.cite.base import Cited
from rag.cite.checked import CheckedCiter
from rag.cite.markers import MarkerCiter
from rag.cite.support import SupportChecker, Thresholds
from rag.testing import check_citer
from rag.types import Evidence, Location, Span

TEXTS = (
    "Dogs bark at night. They sleep during the day, and weigh 1,200 grams.",
    "Owls hoot after dark. The Owl of Athena was not sold in 1990.",
)


def evidence(*texts: str, headings: tuple[str, ...] = ()) -> list[Evidence]:
    return [
        Evidence(
            span=Span(f"d{number}", 100, 100 + len(text)),
            text=text,
            score=1.0,
            chunk_id=f"c{number}",
            location=Location(headings=headings),
        )
        for number, text in enumerate(texts, 1)
    ]


def citer(*, reattribute: bool = False) -> CheckedCiter:
    return CheckedCiter(SupportChecker(thresholds=Thresholds()), reattribute=reattribute)


def checked(text: str, *, reattribute: bool = False, given: tuple[int, ...] | None = None) -> Cited:
    return citer(reattribute=reattribute).cite(text, evidence(*TEXTS), given=given)


def verdicts(cited: Cited) -> list[str]:
    return [citation.support.verdict for citation in cited.citations if citation.support]


def test_it_keeps_the_contract_of_citers() -> None:
    check_citer(citer(), evidence=evidence(*TEXTS))
    check_citer(citer(reattribute=True), evidence=evidence(*TEXTS))


def test_each_cited_sentence_is_held_against_its_own_source() -> None:
    cited = checked("Owls hoot in the dark [2]. Owls hoot in the dark [1]. Dogs weigh 1.2 thousand grams [1].")
    assert verdicts(cited) == ["supported", "unsupported", "supported"]


def test_a_quote_is_supported_without_a_look_at_its_words() -> None:
    cited = checked("They sleep during the day, and weigh 1,200 grams [1].")
    (citation,) = cited.citations
    assert citation.support is not None
    assert citation.support.quoted
    assert citation.spans == (Span("d1", 120, 169),)


def test_two_sources_support_a_sentence_together() -> None:
    text = "Dogs bark at night and owls hoot after dark {}."
    assert verdicts(checked(text.format("[1][2]"))) == ["supported"]
    assert verdicts(checked(text.format("[1]"))) == [
        "weak"
    ]  # dog, bark, night of dog, bark, night, owl, hoot, dark, after


def test_the_headings_over_a_source_count_as_its_words() -> None:
    sources = evidence("It opens at nine and closes at five.", headings=("The museum of Tartu",))
    (citation,) = citer().cite("The museum in Tartu opens at 9 [1].", sources).citations
    assert citation.support is not None
    assert (citation.support.verdict, citation.support.missing) == ("supported", ())


@pytest.mark.parametrize(
    ("text", "uncited"),
    [
        ("Dogs bark [1]. Cats meow loudly.", ["Cats meow loudly."]),
        ("Why do dogs bark? Dogs bark [1].", []),
        ("The sources say:\n- Dogs bark [1].", []),
        ("Yes. Dogs bark [1].", []),
    ],
)
def test_a_sentence_that_states_something_without_a_source_is_listed(text: str, uncited: list[str]) -> None:
    cited = checked(text)
    assert [cited.text[start:end] for start, end in cited.uncited] == uncited


def test_an_unsupported_sentence_moves_to_the_source_that_supports_it() -> None:
    cited = checked("Owls hoot after dark [1]. Cats meow [1].", reattribute=True)
    assert cited.text == "Owls hoot after dark [2]. Cats meow [1]."
    moved, stays = cited.citations
    assert (moved.evidence, moved.moved_from) == ((2,), (1,))
    assert moved.spans == (Span("d2", 100, 121),)
    assert cited.text[moved.start : moved.end] == "Owls hoot after dark [2]."
    assert (stays.evidence, stays.moved_from) == ((1,), ())
    assert cited.text[stays.start : stays.end] == "Cats meow [1]."
    assert (cited.notes["moved"], cited.notes["unsupported"]) == (1, 1)


def test_a_sentence_never_moves_to_a_source_the_generator_did_not_see() -> None:
    cited = checked("Owls hoot after dark [1].", reattribute=True, given=(1,))
    assert cited.text == "Owls hoot after dark [1]."


def test_markers_with_words_between_them_stay_where_they_are() -> None:
    text = "Owls hoot [1] after dark [1]."
    assert checked(text, reattribute=True).text == text


def test_several_markers_become_the_one_that_holds() -> None:
    sources = evidence("Dogs bark.", "Cats meow.", "Owls hoot after dark.")
    cited = citer(reattribute=True).cite("Owls hoot after dark [1] [2].", sources)
    assert cited.text == "Owls hoot after dark [3]."


answers = st.lists(
    st.sampled_from(
        [
            "Owls hoot after dark [1]. ", "Owls hoot [1][2]. ", "Dogs bark [9]. ", "Cats meow. ",
            "[2] Dogs bark at night.\n",
            "- Dogs weigh 5 grams [2]\n", "Why? ", "`[1]` ", "\n\n",
        ]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(answers)
def test_unless_it_moves_markers_text_and_ranges_are_those_of_the_marker_citer(text: str) -> None:
    plain, cited = MarkerCiter().cite(text, evidence(*TEXTS)), checked(text)
    assert cited.text == plain.text
    assert cited.dropped == plain.dropped
    assert [(one.start, one.end, one.evidence, one.spans) for one in cited.citations] == [
        (one.start, one.end, one.evidence, one.spans) for one in plain.citations
    ]


@given(answers)
def test_moved_citations_stand_where_a_second_reading_finds_them(text: str) -> None:
    moved = checked(text, reattribute=True)
    again = MarkerCiter().cite(moved.text, evidence(*TEXTS))
    assert again.text == moved.text
    assert [(one.start, one.end, one.evidence) for one in again.citations] == [
        (one.start, one.end, one.evidence) for one in moved.citations
    ]
