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


def test_a_chunk_inside_a_markdown_table_has_the_names_of_its_columns() -> None:
    rows = "".join(f"| Pilot {number} | 20{number} |\n" for number in range(10, 14))
    text = f"# Pilots\n\n| Pilot | Expires |\n|---|:--:|\n{rows}\nNo table.\n"
    table = (text.index("| Pilot |"), text.index("\nNo table"))
    layout = Layout(parts=(Part("heading", 0, 8, "Pilots", 1), Part("table", *table)))
    document = Document(id="a.md", text=text, layout=layout)
    starts = [0, table[0], text.index("| Pilot 11"), text.index("No table")]
    chunks = [
        Chunk(span=Span("a.md", start, end), text=text[start:end])
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True)
    ]
    enriched = HeadingsEnricher().enrich(chunks, document)
    contexts = [chunk.context for chunk in enriched]
    assert contexts == ["", "Pilots", "Pilots\n| Pilot | Expires |", "Pilots"]
    short = HeadingsEnricher(characters=17).enrich(chunks, document)
    assert short[2].context == "Pilots"  # 19 characters of names are too many


def test_a_table_without_a_line_under_its_first_row_has_no_names() -> None:
    text = "1 | 2\n3 | 4\n5 | 6"
    document = Document(id="a.csv", text=text, layout=Layout(parts=(Part("table", 0, len(text)),)))
    [enriched] = HeadingsEnricher().enrich([Chunk(span=Span("a.csv", 6, 17), text=text[6:])], document)
    assert enriched.context == ""
