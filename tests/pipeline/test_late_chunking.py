"""Late chunking in the pipeline: caching by document, and an index that is refused by another way of embedding."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.embed.hash import HashEmbedder
from rag.embed.late import LateEmbedder
from rag.errors import ConfigError, IndexMismatchError
from rag.pipeline.vectors import seen_of, vectors_of
from rag.types import Chunk, Document, Span

LATE = "ingest.embed={use: late, base: {use: hash}, overlap: 8}"


def test_an_index_of_late_vectors_is_asked_like_any_other(make) -> None:
    pipeline = make(LATE)
    report = pipeline.ingest()
    assert report.embedded == report.chunks > 0
    assert "Dogs bark" in pipeline.search("Do dogs bark at the postman?").ranking[0].chunk.text
    reader = pipeline.index.reader()
    for summary in reader.documents():
        document = reader.document(summary.id)
        chunks = [(chunk, document) for chunk in reader.chunks_of(summary.id)]
        stored = reader.vectors(reader.rows_of([chunk for chunk, _ in chunks]))
        assert stored == pytest.approx(vectors_of(pipeline.embedder, chunks), abs=1e-6)


@pytest.mark.parametrize("other", ["ingest.embed={use: hash}", LATE.replace("8", "9")])
def test_late_vectors_and_others_do_not_share_an_index(make, other: str) -> None:
    make(LATE).ingest()
    with pytest.raises(IndexMismatchError, match="late sum, overlap 8"):
        make(other).ask("Do dogs bark?")
    with pytest.raises(IndexMismatchError):
        make(other).ingest()


def test_vectors_are_taken_from_the_cache_while_the_document_stays(make, corpus: Path) -> None:
    pipeline = make(LATE)
    chunks = pipeline.ingest().chunks
    again = pipeline.ingest(force=True)
    assert (again.embedded, again.cached) == (0, chunks)
    (corpus / "ships.txt").write_text("The Vasa sank in 1628 on a voyage. It is in Stockholm.", encoding="utf-8")
    changed = pipeline.ingest()
    assert (changed.embedded, changed.cached) == (1, 0)


def test_a_chunk_is_cached_by_its_document_and_place_not_by_its_text() -> None:
    def at(document: Document, start: int) -> tuple[Chunk, Document]:
        end = start + len("Same.")
        return Chunk(span=Span(document.id, start, end), text=document.text[start:end]), document

    one, other = Document(id="one", text="Same. Same."), Document(id="other", text="Same. But not here.")
    plain, late = HashEmbedder(), LateEmbedder(HashEmbedder())
    chunks = [at(one, 0), at(one, 6), at(other, 0), at(Document(id="copy", text=one.text), 0)]
    assert len(set(seen_of(plain, chunks))) == 1
    first, second, elsewhere, copied = seen_of(late, chunks)
    assert first == copied
    assert len({first, second, elsewhere}) == 3


def test_vectors_cannot_be_made_anew_from_the_texts_of_chunks(make) -> None:
    pipeline = make(LATE)
    pipeline.ingest()
    with pytest.raises(ConfigError, match="whole documents"):
        pipeline.reembed()


def test_metadata_before_the_text_is_refused_where_it_would_change_no_vector(make) -> None:
    with pytest.raises(ConfigError, match="'prefix' would change no vector"):
        make(LATE, "ingest.represent.by=prefix")
