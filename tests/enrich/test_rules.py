"""Metadata that rules find in a text."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.enrich.keywords import TermStatistics
from rag.enrich.metadata import RuleMetadata
from rag.enrich.rules import RULES, Excerpt
from rag.enrich.specs import DEFAULT_FIELDS, RULE_TYPES
from rag.text.dates import dates
from rag.types import Chunk, Document, Layout, Meta, Part, Span

TEXT = "# Leave\n\nEmployees of Acme Corp get 27 days. Acme Corp pays on 1 May 2024 and 2023-12-24.\n"


def excerpt(text: str, meta: Meta | None = None, *, terms: TermStatistics | None = None) -> Excerpt:
    heading = (Part("heading", 0, 7, "Leave", 1),) if text.startswith("# Leave") else ()
    document = Document(id="d", text=text, meta=meta or {}, layout=Layout(parts=heading))
    return Excerpt(Chunk(span=Span("d", 0, len(text)), text=text), document, terms or TermStatistics())


def test_a_keyword_weighs_its_count_times_how_rare_it_is() -> None:
    terms = TermStatistics()
    terms.add(["dogs bark", "dogs sleep", "owls hoot"])
    assert terms.weight("dog", 2) == pytest.approx(2 * (log(4 / 3) + 1))
    assert terms.weight("owl", 1) == pytest.approx(log(4 / 2) + 1)
    # dog: 2 * 1.288; bark and owl once each: 1.693, by term
    assert terms.keywords("Dogs! Dogs bark; an owl, 1990.", most=3) == ["dogs", "bark", "owl"]


def test_a_keyword_is_written_as_the_text_most_often_writes_it() -> None:
    terms = TermStatistics()
    terms.add(["barking barks barking"])
    assert terms.keywords("Barking barks barking", most=1) == ["barking"]


def test_the_title_is_the_documents_and_the_headings_above() -> None:
    assert RULES["title"](excerpt(TEXT, {"title": "Handbook"}), None) == "Handbook > Leave"
    assert RULES["title"](excerpt("No heading."), None) is None


def test_names_are_runs_of_capitals_most_frequent_first() -> None:
    text = "The Vasa sank on Sunday. Sailors of the Royal Navy saw the Vasa’s end in May; NASA did not. Ships sink."
    assert RULES["entities"](excerpt(text), None) == ["Vasa", "Royal Navy", "NASA"]
    assert RULES["entities"](excerpt(text), 1) == ["Vasa"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2024-05-01", ["2024-05-01"]),
        ("in 2024-05", ["2024-05-01"]),
        ("on 1st May 2024 or May 2, 2024 or in sept. 2021", ["2024-05-01", "2024-05-02", "2021-09-01"]),
        ("31 February 2020, 12024-05-01, 2024-05-01-7, version 1.2024", []),
    ],
)
def test_dates_are_found_in_the_forms_people_write(text: str, expected: list[str]) -> None:
    assert [str(day) for day in dates(text)] == expected


def test_the_first_and_the_last_date_of_a_text() -> None:
    assert RULES["first-date"](excerpt(TEXT), None) == "2023-12-24"
    assert RULES["last-date"](excerpt(TEXT), None) == "2024-05-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is leave? Who gets it? Everybody does.", "faq"),
        ("1. Open it.\n2. Fill it in.\n3. Send it.", "procedure"),
        ("| a | 1 |\n| b | 2 |", "reference"),
        ("Staff must ask first.", "policy"),
        ("Some birds, for example owls, hunt at night.", "example"),
        ("An owl is a bird of the night.", "concept"),
        ("It rained.", "other"),
    ],
)
def test_the_type_of_content_goes_by_its_cues(text: str, expected: str) -> None:
    assert RULES["content-type"](excerpt(text), None) == expected


def test_each_rule_gives_the_type_its_field_must_have() -> None:
    kinds = {"str": str, "list": list, "date": str}
    assert RULES.keys() == RULE_TYPES.keys()
    for name, rule in RULES.items():
        assert isinstance(rule(excerpt(TEXT, {"title": "Handbook"}), 3), kinds[RULE_TYPES[name]]), name


def test_rules_fill_the_default_schema_and_say_so() -> None:
    rules = RuleMetadata(DEFAULT_FIELDS, TermStatistics())
    given_chunk = excerpt(TEXT).chunk
    (chunk,) = rules.enrich([given_chunk], excerpt(TEXT).document)
    assert chunk.meta == {
        "title": "Leave",
        "summary": "Employees of Acme Corp get 27 days.",
        "keywords": "acme; corp; days; employees; get; leave; may; pays",
        "entities": "Acme Corp",
        "content_type": "other",
        "date_from": "2023-12-24",
        "date_to": "2024-05-01",
        "metadata_by": "rules",
    }
    assert (chunk.span, chunk.text, chunk.context) == (given_chunk.span, given_chunk.text, "")


def test_what_the_source_says_of_itself_is_not_overwritten() -> None:
    rules = RuleMetadata(DEFAULT_FIELDS, TermStatistics())
    there = excerpt(TEXT, {"title": "Handbook", "date_from": None})
    chunk = Chunk(span=there.chunk.span, text=TEXT, meta={"content_type": "memo"})
    (found,) = rules.enrich([chunk], there.document)
    assert "title" not in found.meta
    assert found.meta["date_from"] == "2023-12-24"
    assert found.meta["content_type"] == "memo"


def test_a_chunk_that_comes_again_is_not_counted_again() -> None:
    terms = TermStatistics()
    rules = RuleMetadata(DEFAULT_FIELDS, terms)
    there = excerpt(TEXT)
    assert rules.enrich([there.chunk], there.document) == rules.enrich([there.chunk], there.document)
    assert terms.size == 1


@given(st.text(max_size=200))
def test_any_text_has_metadata_of_scalars(text: str) -> None:
    there = excerpt(text)
    (chunk,) = RuleMetadata(DEFAULT_FIELDS, TermStatistics()).enrich([there.chunk], there.document)
    assert all(isinstance(value, str) and value for value in chunk.meta.values())
