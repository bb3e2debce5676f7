from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.cite.markers import MarkerCiter
from rag.testing import check_citer
from rag.types import Evidence, Span


def evidence(count: int) -> list[Evidence]:
    text = "Dogs bark."
    return [
        Evidence(
            span=Span(f"d{number}", 0, len(text)), text=text, score=1.0, chunk_id=f"c{number}", source=f"d{number}"
        )
        for number in range(1, count + 1)
    ]


def cited(text: str, count: int = 3) -> tuple[str, list[tuple[str, tuple[int, ...]]], int]:
    """The final text, each citation as the words it covers and its numbers, and how many were dropped."""
    result = MarkerCiter().cite(text, evidence(count))
    return (
        result.text,
        [(result.text[citation.start : citation.end], citation.evidence) for citation in result.citations],
        result.dropped,
    )


def test_a_marker_cites_its_sentence_before_and_after_the_full_stop() -> None:
    text = "Dogs bark [1]. Cats meow. [2]"
    assert cited(text) == (text, [("Dogs bark [1].", (1,)), ("Cats meow. [2]", (2,))], 0)


def test_offsets_are_those_of_the_final_text() -> None:
    result = MarkerCiter().cite("Dogs bark [9]. Cats meow [2].", evidence(2))
    assert result.text == "Dogs bark. Cats meow [2]."
    assert [(citation.start, citation.end, citation.evidence) for citation in result.citations] == [(11, 25, (2,))]
    assert result.dropped == 1


@pytest.mark.parametrize(
    ("marker", "numbers"),
    [
        ("[1][3]", (1, 3)),
        ("[1, 3]", (1, 3)),
        ("[1,2;3]", (1, 2, 3)),
        ("[1-3]", (1, 2, 3)),
        ("[1–2, 12]", (1, 2, 12)),
        ("【2】", (2,)),
        ("［3］", (3,)),
        ("[ 2 ]", (2,)),
        ("[12]", (12,)),
        ("[3][1][3]", (3, 1)),
    ],
)
def test_every_way_to_write_a_marker_is_read(marker: str, numbers: tuple[int, ...]) -> None:
    text = f"Dogs bark {marker}."
    assert cited(text, 12) == (text, [(text, numbers)], 0)


@pytest.mark.parametrize(
    ("text", "final", "dropped"),
    [
        ("Dogs bark [4].", "Dogs bark.", 1),
        ("Dogs bark. [0]", "Dogs bark.", 1),
        ("Dogs bark [2, 4].", "Dogs bark [2].", 1),
        ("Dogs bark [2-9].", "Dogs bark [2][3].", 1),
        ("Dogs bark [1-999999999].", "Dogs bark [1][2][3].", 1),
        ("Dogs bark [3-1].", "Dogs bark.", 1),
        ("[7] Dogs bark.", "Dogs bark.", 1),
        ("Dogs [8] bark [9] loudly.", "Dogs bark loudly.", 2),
    ],
)
def test_a_number_that_names_no_source_is_taken_out_and_counted(text: str, final: str, dropped: int) -> None:
    result = MarkerCiter().cite(text, evidence(3))
    assert (result.text, result.dropped) == (final, dropped)


def test_a_citation_says_where_its_sentence_stands_or_else_gives_the_whole_evidence() -> None:
    text = "Cats meow. Dogs bark\nat night. Cows sleep."
    held = Evidence(span=Span("d", 100, 100 + len(text)), text=text, score=1.0, chunk_id="c")
    quoted, told = MarkerCiter().cite("Dogs bark at night. [1] Dogs are loud. [1]", [held]).citations
    assert quoted.spans == (Span("d", 111, 130),)
    assert text[11:30] == "Dogs bark\nat night."
    assert told.spans == (held.span,)


def test_without_evidence_no_marker_is_left() -> None:
    assert cited("Dogs bark [1]. Cats meow [2].", 0) == ("Dogs bark. Cats meow.", [], 2)


def test_a_marker_that_opens_a_line_belongs_to_what_follows_on_it() -> None:
    text = "[1] Dogs bark.\n[2] Cats meow."
    assert cited(text) == (text, [("[1] Dogs bark.", (1,)), ("[2] Cats meow.", (2,))], 0)


def test_a_marker_alone_on_its_line_belongs_to_the_sentence_above() -> None:
    text = "Dogs bark.\n[1]\n\nCats meow."
    assert cited(text) == (text, [("Dogs bark.\n[1]", (1,))], 0)


def test_several_markers_of_a_sentence_are_one_citation() -> None:
    text = "Dogs [1] bark [2] at night. [1]"
    assert cited(text) == (text, [(text, (1, 2))], 0)


def test_brackets_in_code_are_no_markers() -> None:
    text = "Take `rows[7]` of the list [1].\n```\nx[9] = y[1]\n```"
    assert cited(text)[0] == text
    assert cited(text)[2] == 0


def test_words_in_brackets_are_no_markers() -> None:
    text = "Dogs [sic] bark [a1] [1.5] []."
    assert cited(text) == (text, [], 0)


def test_markers_alone_cite_nothing() -> None:
    assert cited("[1]") == ("[1]", [], 0)


def test_the_contract_of_citers_holds() -> None:
    check_citer(MarkerCiter(), evidence=evidence(3))


pieces = st.sampled_from(
    [
        "Dogs bark",
        ". ",
        "\n",
        " ",
        "[1]",
        "[2]",
        "[9]",
        "[1, 9]",
        "【2】",
        "[0-3]",
        "猫喜欢鱼。",
        "🐕‍🦺",
        "e\u0301",
        "`x[9]`",
        "[",
    ]
)


@given(st.lists(pieces, max_size=25).map("".join), st.integers(0, 4))
def test_citations_lie_in_the_final_text_apart_and_every_valid_marker_is_in_one(text: str, count: int) -> None:
    result = MarkerCiter().cite(text, evidence(count))
    last = 0
    for citation in result.citations:
        assert last <= citation.start < citation.end <= len(result.text)
        last = citation.end
        assert citation.evidence
        assert all(1 <= number <= count for number in citation.evidence)
        written = {int(number) for number in re.findall(r"\d+", result.text[citation.start : citation.end])}
        assert written  # the markers are inside the range they cite
    again = MarkerCiter().cite(result.text, evidence(count))
    assert (again.text, again.citations, again.dropped) == (result.text, result.citations, 0)


def test_a_quote_that_shows_square_brackets_as_round_ones_still_cites_its_sentence_alone() -> None:
    text = "Ducks are birds. They live for [13] years[2]. They swim."
    held = Evidence(span=Span("ducks.md", 100, 100 + len(text)), text=text, score=1.0, chunk_id="c")
    (citation,) = MarkerCiter().cite("They live for (13) years(2). [1]", [held]).citations
    assert citation.spans == (Span("ducks.md", 117, 145),)


def test_a_number_of_evidence_the_generator_did_not_see_is_dropped() -> None:
    result = MarkerCiter().cite("Seen [1]. Left out [2]. Both [1-3].", evidence(3), given=(1, 3))
    assert result.text == "Seen [1]. Left out. Both [1][3]."
    assert result.dropped == 2


def test_a_marker_at_the_end_of_a_line_ends_the_sentence() -> None:
    lines = "a row of a table [1]\n1999) is how this line begins. [2]"
    citations = MarkerCiter().cite(lines, evidence(2)).citations
    assert [citation.evidence for citation in citations] == [(1,), (2,)]
    assert [lines[citation.start : citation.end] for citation in citations] == lines.split("\n")
