from __future__ import annotations

import pytest

from rag.generate.quotes import Quote, quotes
from rag.types import Evidence, Location, Span


def found(text: str, *, headings: tuple[str, ...] = ()) -> list[Quote]:
    span = Span("a.md", 0, len(text))
    location = Location(headings=headings)
    return list(quotes(1, Evidence(span=span, text=text, score=1.0, chunk_id="c", location=location)))


def test_quotes_are_the_evidence_s_text_at_their_offsets() -> None:
    text = "# Leave\n\nYou have 27 days. Half days\ncount. 🐕 Dogs too!"
    assert all(text[quote.start : quote.end] == quote.text for quote in found(text))
    assert [quote.text for quote in found(text)][-1] == "🐕 Dogs too!"


@pytest.mark.parametrize("text", ["## Annual leave", "Annual leave", "What about leave?", "What is paid"])
def test_headings_and_questions_are_fragments(text: str) -> None:
    assert [quote.fragment for quote in found(f"{text}\n\nYou have 27 days of it.")] == [True, False]


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
        ("It is -5 degrees.", "It is -5 degrees."),
        ("27 days are given.", "27 days are given."),
    ],
)
def test_a_quote_is_shown_in_one_line_without_marks_of_lists_tables_and_citations(text: str, shown: str) -> None:
    [quote] = found(text)
    assert quote.shown == shown
