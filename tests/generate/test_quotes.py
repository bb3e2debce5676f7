from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.cite.markers import read
from rag.generate.quotes import Quote, quotes
from rag.types import Evidence, Location, Part, Span


def found(text: str, *, headings: tuple[str, ...] = (), parts: Sequence[Part] = (), start: int = 0) -> list[Quote]:
    span = Span("a.md", start, start + len(text))
    location = Location(headings=headings)
    return list(quotes(1, Evidence(span=span, text=text, score=1.0, chunk_id="c", location=location), parts))


def test_quotes_are_the_evidence_s_text_at_their_offsets() -> None:
    text = "# Leave\n\nYou have 27 days. Half days\ncount. 🐕 Dogs too!"
    assert all(text[quote.start : quote.end] == quote.text for quote in found(text))
    assert [quote.text for quote in found(text)][-1] == "🐕 Dogs too!"


@pytest.mark.parametrize(
    "text", ["## Annual leave", "Annual leave", "What about leave?", "What is paid", "Working from Home in the Summer"]
)
def test_headings_and_questions_are_fragments(text: str) -> None:
    assert [quote.fragment for quote in found(f"{text}\n\nYou have 27 days of it.")] == [True, False]


def test_the_first_line_of_a_document_is_its_title_where_more_follows() -> None:
    title = "the film of 2016 (remake)"
    assert [quote.fragment for quote in found(f"{title}\n\nIt is a film of the year 2016.")] == [True, False]
    assert [quote.fragment for quote in found(title)] == [False]


@pytest.mark.parametrize("text", ["Dogs bark.", "Books: 1,200 EUR", "| hotel | 160 EUR |", "- Berlin, Lindenufer 14"])
def test_short_sentences_and_rows_with_numbers_are_no_fragments(text: str) -> None:
    assert [quote.fragment for quote in found(text)] == [False]


def test_the_rule_of_a_table_is_no_quote() -> None:
    assert [quote.text for quote in found("| --- | --- |")] == []


def test_a_heading_leads_what_is_under_it_and_a_question_only_the_next_sentence() -> None:
    text = "## Leave\n\nYou have 27 days.\n\nHow do I ask?\n\nAsk in the calendar. Wait three days."
    leads = {quote.text: quote.lead for quote in found(text, headings=("Handbook",))}
    assert leads == {
        "## Leave": "Handbook",
        "You have 27 days.": "## Leave",
        "How do I ask?": "## Leave",
        "Ask in the calendar.": "How do I ask?",
        "Wait three days.": "",
    }


def test_a_table_is_quoted_row_by_row_under_its_header() -> None:
    before, table = "Our offices are these.\n\n", "office | desks\nBerlin | 120\nLisbon | 45\n"
    parts = [Part("table", 10 + len(before), 10 + len(before + table))]
    got = [(quote.text, quote.lead, quote.fragment) for quote in found(before + table, parts=parts, start=10)]
    assert got == [
        ("Our offices are these.", "", False),
        ("office | desks", "", True),
        ("Berlin | 120", "office | desks", False),
        ("Lisbon | 45", "office | desks", False),
    ]


def test_rows_of_a_table_that_began_in_an_earlier_chunk_are_all_quotes() -> None:
    text = "office: Berlin; desks: 120; dogs: yes\noffice: Lisbon; desks: 45; dogs: no"
    rows = [(quote.text, quote.fragment) for quote in found(text, parts=[Part("table", 0, 500)], start=100)]
    assert rows == [(line, False) for line in text.split("\n")]


def test_rows_of_a_table_that_began_in_an_earlier_chunk_stand_under_its_header() -> None:
    whole = "Offices\n\n| office | desks |\n| --- | --- |\n| Berlin | 120 |\n| Lisbon | 45 |\n"
    start = whole.index("| Lisbon")
    evidence = Evidence(span=Span("a", start, len(whole)), text=whole[start:], score=1.0, chunk_id="a")
    [row] = quotes(1, evidence, [Part("table", whole.index("| office"), len(whole))], whole=whole)
    assert (row.text, row.lead, row.row) == ("| Lisbon | 45 |", "| office | desks |", True)


def test_the_first_item_of_a_list_is_no_title() -> None:
    [first, _] = found("- renew the contract of the fire extinguisher before 14 March\n- order 20 chairs\n")
    assert (first.shown, first.fragment) == ("renew the contract of the fire extinguisher before 14 March", False)


def test_a_heading_that_the_parser_found_ends_the_sentence_before_it_and_is_no_quote() -> None:
    text = "notes on leave\nhow half days are counted here\nHalf days count."
    parts = [Part("heading", 15, 45, "how half days are counted here", 2)]
    got = [(quote.text, quote.fragment) for quote in found(text, parts=parts, start=0)]
    assert got == [("notes on leave", True), ("how half days are counted here", True), ("Half days count.", False)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "This line is wrapped in the middle of the sentence,\nas in a PDF.",
            "This line is wrapped in the middle of the sentence, as in a PDF.",
        ),
        ("- Half days count.", "Half days count."),
        ("3. Half days count.", "Half days count."),
        ("| hotel | 160 EUR a night |", "hotel | 160 EUR a night"),
        ("Half days count.[3]", "Half days count.(3)"),
        ("[12] [13] Half days count.", "Half days count."),
        ("It is -5 degrees.", "It is -5 degrees."),
        ("Use `rag ask`.", "Use `rag ask`."),
        ("Use `rag ask` or `rag chat.", "Use `rag ask` or rag chat."),
        ("curl -A me a.example ```", "curl -A me a.example"),
        ("27 days are given.", "27 days are given."),
    ],
)
def test_a_quote_is_shown_in_one_line_without_marks_of_lists_tables_and_citations(text: str, shown: str) -> None:
    [quote] = found(text)
    assert quote.shown == shown


def test_a_reference_to_a_page_is_no_quote() -> None:
    wrapped = "“Next four games could make it” (http s://a.example/club/next -four-games-1-63624)"
    text = f"Archived (https://a.example/2020 0/b/c/) from it. The club was founded in 1902. {wrapped}"
    assert [quote.text for quote in found(text)] == ["The club was founded in 1902."]
    told = ["Book at https://travel.example/desk/.", "Book at [the desk](https://travel.example/desk/).", "and/or so."]
    assert [quote.text for text in told for quote in found(text)] == told


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("34 Our Offices", True),
        ("3.1.2 Hydro network", True),
        ("What offices there are ...........", True),
        ("34 117", True),
        ("Figure 2 - how dogs bark at owls", True),
        ("34 offices have dogs", False),
        ("27 working days", False),
        ("160 EUR a night", False),
        ("1.5 million EUR", False),
        ("Dogs wait ...", False),
    ],
)
def test_entries_of_a_table_of_contents_and_captions_are_fragments(text: str, fragment: bool) -> None:
    assert [quote.fragment for quote in found(f"Dogs bark.\n\n{text}")] == [False, fragment]


def test_what_announces_a_list_leads_its_sentences_and_is_quoted_with_its_short_items() -> None:
    text = "These things a duck may eat:\n\n- Grass is eaten in spring."
    assert [(quote.text, quote.lead, quote.fragment) for quote in found(text)] == [
        ("These things a duck may eat:", "", True),
        ("- Grass is eaten in spring.", "These things a duck may eat:", False),
    ]
    assert [quote.text for quote in found("Bring:\n1. passport\n2. bank details")] == [
        "Bring:\n1. passport\n2. bank details"
    ]
    text = "Ducks swim. A duck may eat:\n\n- grass\n- worms\n\nBread is bad for it."
    assert [(quote.text, quote.fragment) for quote in found(text)] == [
        ("Ducks swim.", False),
        ("A duck may eat:\n\n- grass\n- worms", False),
        ("Bread is bad for it.", False),
    ]
    assert found(text)[1].shown == "A duck may eat: - grass - worms"


def test_a_long_list_is_not_quoted_whole() -> None:
    text = "A duck may eat:\n" + "- grass and seeds\n" * 30
    first = found(text)[0]
    assert first.text == "A duck may eat:\n" + "\n".join(["- grass and seeds"] * 15)  # 15 + 15 * 18 of 300 code points


def test_the_header_of_a_table_under_a_title_is_no_quote() -> None:
    table = "Cups\nteam | cups\nBlues | 1\n"
    rows = [(quote.text, quote.lead, quote.fragment, quote.row) for quote in found(table, parts=[Part("table", 0, 27)])]
    assert rows[1:] == [("team | cups", "", True, True), ("Blues | 1", "team | cups", False, True)]
    assert rows[0][2]


def test_only_sentences_of_a_table_are_rows() -> None:
    parts = [Part("table", 0, 12)]
    assert [quote.row for quote in found("a | b\n1 | 2\nDogs bark.", parts=parts)] == [True, True, False]


@given(
    st.lists(
        st.sampled_from(
            (
                *(
                    "Dogs bark. ",
                    "A duck eats:\n",
                    "- grass\n",
                    "1. 蠕虫\n",
                    "桥建于1930年。",
                    "🐕 é!\r\n",
                    "| a | b |\n",
                ),
                *("(https://a.example/b)\n", "## Leave\n\n", "34 Our Offices\n", "[3] ", "كلب. ", "x ....... 3\n"),
            )
        ),
        max_size=12,
    ).map("".join),
    st.integers(0, 30),
)
def test_quotes_stand_at_their_offsets_in_order_and_never_overlap(text: str, table: int) -> None:
    made = found(text, parts=[Part("table", table, table + 20)])
    assert all(text[quote.start : quote.end] == quote.text for quote in made)
    assert all(before.end <= after.start for before, after in pairwise(made))


@given(texts=st.lists(st.text("ab1 `[](),.:*|-'\"！。", min_size=1, max_size=14), min_size=1, max_size=3))
def test_the_citation_behind_every_quote_is_read_as_one_whatever_the_quote_has_in_it(texts: list[str]) -> None:
    shown = [line for text in texts if (line := Quote(1, 0, len(text), text).shown) and any(map(str.isalpha, line))]
    written = " ".join(f"{line} [{number}]" for number, line in enumerate(shown, 1))
    numbers = range(1, len(shown) + 1)
    marked = read(written, numbers)
    assert sorted({number for part in marked.sentences for number in part.numbers}) == list(numbers)
    assert marked.dropped == 0
