from __future__ import annotations

from rag.enrich.headings import HeadingsEnricher
from rag.types import Chunk, Document, Layout, Meta, Part, Span

TEXT = "Intro.\n# Leave\nAll staff.\n## Carry over\nFive days.\n# Travel\nTrains."


def document(meta: Meta | None = None) -> Document:
    parts = tuple(
        Part("heading", TEXT.index(line), TEXT.index(line) + len(line), name, level)
        for line, name, level in (
            ("# Leave", "Leave", 1),
            ("## Carry over", "Carry over", 2),
            ("# Travel", "Travel", 1),
        )
    )
    return Document(id="d", text=TEXT, meta=meta or {}, layout=Layout(parts=parts))


def chunk(text: str, context: str = "") -> Chunk:
    start = TEXT.index(text)
    return Chunk(span=Span("d", start, start + len(text)), text=text, context=context)


def contexts(enricher: HeadingsEnricher, document: Document, *texts: str) -> list[str]:
    return [chunk.context for chunk in enricher.enrich([chunk(text) for text in texts], document)]


def test_the_context_is_the_title_and_the_path_of_headings() -> None:
    found = contexts(
        HeadingsEnricher(), document({"title": "Handbook"}), "Intro.", "All staff.", "Five days.", "Trains."
    )
    assert found == ["Handbook", "Handbook > Leave", "Handbook > Leave > Carry over", "Handbook > Travel"]


def test_a_heading_that_begins_the_chunk_is_not_repeated() -> None:
    assert contexts(HeadingsEnricher(), document(), "## Carry over\nFive days.", "# Travel") == ["Leave", ""]


def test_the_title_can_be_left_out_and_is_not_said_twice() -> None:
    assert contexts(HeadingsEnricher(title=False), document({"title": "Handbook"}), "Trains.") == ["Travel"]
    assert contexts(HeadingsEnricher(), document({"title": "Travel"}), "Trains.") == ["Travel"]


def test_a_long_context_loses_its_outermost_headings() -> None:
    assert contexts(HeadingsEnricher(characters=20), document({"title": "Handbook"}), "Five days.") == [
        "Leave > Carry over"
    ]
    assert contexts(HeadingsEnricher(characters=8), document({"title": "Handbook"}), "Five days.") == ["Carry"]


def test_spans_texts_and_ids_stay_and_an_earlier_context_is_kept() -> None:
    given = chunk("Five days.", context="a note")
    (found,) = HeadingsEnricher().enrich([given], document())
    assert (found.span, found.text, found.id) == (given.span, given.text, given.id)
    assert found.indexed_text == "Leave > Carry over\na note\nFive days."


def test_a_document_without_title_and_headings_gives_no_context() -> None:
    plain = Document(id="d", text=TEXT)
    assert contexts(HeadingsEnricher(), plain, "Intro.", "Trains.") == ["", ""]
