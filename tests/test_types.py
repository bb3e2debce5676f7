"""Values, spans and where they stand in a source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.types import Box, Chunk, Condition, Document, Layout, Part, Ranking, ScoredChunk, Span

TEXT = "Title\nfirst line\nsecond line\n\nthird"


def chunk(text: str, start: int = 0, document: str = "d") -> Chunk:
    return Chunk(span=Span(document, start, start + len(text)), text=text)


def test_a_span_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="start <= end"):
        Span("d", 3, 2)


def test_a_chunks_id_comes_from_source_offsets_and_text_alone() -> None:
    plain = chunk("text")
    enriched = Chunk(span=plain.span, text="text", context="A title", meta={"page": 3})
    assert enriched.id == plain.id
    assert len({plain.id, chunk("Text").id, chunk("text", 1).id, chunk("text", 0, "e").id}) == 4


def test_lines_are_counted_from_one_and_end_where_the_last_character_stands() -> None:
    document = Document(id="d", text=TEXT, layout=Layout(lines=True))
    start = TEXT.index("first")
    assert document.locate(start, start + len("first line")).lines == (2, 2)
    assert document.locate(start, TEXT.index("third") + 1).lines == (2, 5)
    assert str(document.locate(start, start + len("first line\nsecond"))) == "lines 2-3"


def test_pages_sheets_headings_and_boxes_of_a_span_are_those_it_touches() -> None:
    layout = Layout(
        parts=(
            Part("page", 0, 16, "1"),
            Part("heading", 0, 5, "Title", 1),
            Part("page", 16, 35, "2"),
            Part("heading", 17, 23, "Deeper", 2),
            Part("heading", 30, 33, "Other", 1),
        ),
        boxes=(Box(6, 16, 1, 10.0, 20.0, 90.0, 30.0), Box(17, 28, 2, 10.0, 20.0, 90.0, 30.0)),
    )
    document = Document(id="d", text=TEXT, layout=layout)
    first = document.locate(6, 16)
    assert (first.pages, first.headings, str(first)) == ((1, 1), ("Title",), "page 1")
    assert [box.page for box in first.boxes] == [1]
    across = document.locate(10, 26)
    assert (across.pages, str(across), len(across.boxes)) == ((1, 2), "pages 1-2", 2)
    assert document.locate(25, 28).headings == ("Title", "Deeper")
    assert document.locate(31, 35).headings == ("Other",)


def test_a_place_without_pages_or_lines_is_named_by_its_section() -> None:
    document = Document(id="d", text=TEXT, layout=Layout(parts=(Part("heading", 0, 5, "Title", 1),)))
    assert str(document.locate(8, 9)) == 'section "Title"'


@given(st.text(), st.integers(0, 40), st.integers(0, 40))
def test_the_lines_of_a_span_hold_its_text_in_any_text(text: str, first: int, length: int) -> None:
    document = Document(id="d", text=text, layout=Layout(lines=True))
    start = min(first, len(text))
    end = min(start + length, len(text))
    lines = document.locate(start, end).lines
    assert lines is not None
    assert lines[0] == text.count("\n", 0, start) + 1
    assert text[start:end].rstrip("\n") in "\n".join(text.split("\n")[lines[0] - 1 : lines[1]])


def test_a_ranking_orders_by_score_then_chunk_id_and_cuts_after_that() -> None:
    hits = [ScoredChunk(chunk(text), score, "test") for text, score in (("c", 1.0), ("a", 1.0), ("b", 2.0))]
    ordered = Ranking.of(hits).hits
    assert ordered[0].chunk.text == "b"
    assert [hit.chunk.id for hit in ordered[1:]] == sorted(hit.chunk.id for hit in ordered[1:])
    assert Ranking.of(list(reversed(hits)), keep=2).hits == ordered[:2]


def test_conditions_on_one_and_on_true_are_different() -> None:
    one, true = (Condition(op="eq", field="n", values=(value,)) for value in (1, True))
    assert one != true
    assert len({one, true}) == 2
    assert one == Condition(op="eq", field="n", values=(1,))
