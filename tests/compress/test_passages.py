from __future__ import annotations

from pathlib import Path

from rag.compress.passages import Outline, Sentence, sentences_of
from rag.embed.hash import HashEmbedder
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.types import Chunk, Document, Layout, Part, Span

TEXT = "# Rush\n\nRush is a band. It played.\n\n## Members\n\nPeart drummed."
DOCUMENT = Document(
    id="rush.md",
    text=TEXT,
    source="rush.md",
    meta={"title": "Encyclopedia"},
    layout=Layout(parts=(Part("heading", 0, 6, "Rush", 1), Part("heading", 36, 46, "Members", 2))),
)


def found(folder: Path, document: Document, *ranges: tuple[int, int]) -> list[Sentence]:
    chunks = [Chunk(span=Span(document.id, start, end), text=document.text[start:end]) for start, end in ranges]
    embedder = HashEmbedder(dimension=8)
    index = IndexDirectory(IndexSpec(path=str(folder / "index")))
    with index.writer(embedder.identity) as writer:
        vectors = embedder.embed_documents([chunk.text for chunk in chunks])
        writer.add(document, chunks, vectors, stamp="", fingerprint="test")
        writer.commit()
    try:
        return sentences_of(chunks, index.reader())
    finally:
        index.close()


def test_a_sentence_knows_the_headings_over_it_and_its_place_under_the_nearest(tmp_path: Path) -> None:
    assert [(each.text, each.heading, each.place) for each in found(tmp_path, DOCUMENT, (0, len(TEXT)))] == [
        ("Rush is a band.", "Encyclopedia > Rush", 0),
        ("It played.", "Encyclopedia > Rush", 1),
        ("Peart drummed.", "Encyclopedia > Rush > Members", 0),
    ]


def test_a_chunk_that_begins_in_mid_section_has_no_places(tmp_path: Path) -> None:
    [sentence] = found(tmp_path, DOCUMENT, (24, 34))
    assert (sentence.text, sentence.heading, sentence.place) == ("It played.", "Encyclopedia > Rush", None)


def test_a_chunk_right_behind_its_heading_has_places(tmp_path: Path) -> None:
    [sentence] = found(tmp_path, DOCUMENT, (48, len(TEXT)))
    assert (sentence.heading, sentence.place) == ("Encyclopedia > Rush > Members", 0)


def test_a_chunk_of_headings_alone_gives_these(tmp_path: Path) -> None:
    assert [each.text for each in found(tmp_path, DOCUMENT, (0, 6))] == ["# Rush"]


def test_no_sentence_runs_over_the_edge_of_a_heading(tmp_path: Path) -> None:
    text = "A title nobody would take for a line of its own\nand a text of about the same width, ended."
    document = Document(id="a", text=text, layout=Layout(parts=(Part("heading", 0, 47, text[:47], 1),)))
    assert [each.text for each in found(tmp_path, document, (0, len(text)))] == [text[48:]]


def test_a_sentence_of_two_overlapping_chunks_comes_once_with_the_better_rank(tmp_path: Path) -> None:
    both = found(tmp_path, DOCUMENT, (8, 34), (24, len(TEXT)))
    assert [(each.text, each.chunk) for each in both] == [
        ("Rush is a band.", 0),
        ("It played.", 0),
        ("Peart drummed.", 1),
    ]


def test_a_title_without_headings_stands_over_the_start_of_the_text() -> None:
    outline = Outline(Document(id="a", text="First. Second.", meta={"title": " The\ntitle "}))
    assert outline.over(7) == ("The title", 0)
    assert Outline(Document(id="b", text="First.")).over(3) == ("", None)
