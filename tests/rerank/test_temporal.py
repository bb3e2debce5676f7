from __future__ import annotations

from pathlib import Path

import pytest

from rag.embed.hash import HashEmbedder
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.rerank.temporal import TemporalReranker, scaled
from rag.testing import SampleResources, check_reranker, sample
from rag.testing.sample import paragraphs
from rag.types import Document, Query, Ranking, ScoredChunk

TEXTS = {
    "a.md": "Ann led the club in 1990.",
    "b.md": "Bob led the club in 2012.",
    "c.md": "Cem led the club in 2022.",
}


def test_the_score_is_the_scaled_relevance_times_how_well_the_years_fit(tmp_path: Path) -> None:
    with sample(tmp_path, TEXTS) as made:
        hits = tuple(ScoredChunk(chunk, 4.0 - 2 * at, "x") for at, chunk in enumerate(made.chunks))
        reranker = TemporalReranker(made.resources, keep=3, date_field=None)
        [ranking] = reranker.rerank([Query(text="Who led the club before 2012?")], [Ranking(hits)])
    # scores 4, 2, 0 scale to 1, 0.5, 0; 1990 is 28/50 of the way from 1962 to 2012, 2012 fits best, 2022 is outside
    scores = {hit.chunk.document_id: hit.score for hit in ranking}
    assert scores == pytest.approx({"a.md": 0.6 + 0.4 * 28 / 50, "b.md": 0.5, "c.md": 0.0})


def test_equal_scores_leave_the_order_to_the_years_and_negative_ones_are_not_raised() -> None:
    assert scaled([1.0, 1.0]) == [1.0, 1.0]
    assert scaled([-1.0, -3.0]) == [1.0, 0.0]


def test_of_equally_near_chunks_the_one_in_the_period_comes_first(tmp_path: Path) -> None:
    with sample(tmp_path, TEXTS) as made:
        given = Ranking(tuple(ScoredChunk(chunk, 0.0, "x") for chunk in made.chunks))
        reranker = TemporalReranker(made.resources, keep=3, date_field=None)
        [inside] = reranker.rerank([Query(text="Who led the club before 2015?")], [given])
        assert [hit.chunk.document_id for hit in inside] == ["b.md", "a.md", "c.md"]
        assert inside.notes == {"period": True, "dated": 3}
        [same] = reranker.rerank([Query(text="Who led the club?")], [given])
        assert [hit.chunk.document_id for hit in same] == ["a.md", "b.md", "c.md"]


@pytest.mark.parametrize("keep", [1, 2, 10])
def test_it_holds_to_the_contract_of_a_reranker(keep: int, tmp_path: Path) -> None:
    questions = ("Who led the club before 2015?", "Who led the club between 1980 and 2000?", "Who led the club?")
    with sample(tmp_path, TEXTS) as made:
        reranker = TemporalReranker(made.resources, keep=keep, date_field=None)
        check_reranker(reranker, chunks=made.chunks, questions=questions, keep=keep)


@pytest.mark.parametrize("dated", [2012, "2012-05-01", 2012.0])
def test_a_date_field_of_the_document_counts_rather_than_the_text(dated: int | str | float, tmp_path: Path) -> None:
    embedder = HashEmbedder(dimension=64)
    index = IndexDirectory(IndexSpec(path=str(tmp_path / "index")))
    hits: list[ScoredChunk] = []
    with index.writer(embedder.identity) as writer:
        for name, meta in (("a.md", {"date": 1890}), ("b.md", {"date": dated}), ("c.md", {})):
            document = Document(id=name, text="The club won again, as in 2011.", meta=meta)
            [chunk] = paragraphs(document)
            writer.add(document, [chunk], embedder.embed_documents([chunk.text]), stamp="", fingerprint="f")
            hits.append(ScoredChunk(chunk, 0.0, "x"))
        writer.commit()
    reranker = TemporalReranker(SampleResources(embedder, index, {}), keep=3, date_field="date")
    [ranking] = reranker.rerank([Query(text="Who won between 2010 and 2014?")], [Ranking(tuple(hits))])
    assert [hit.chunk.document_id for hit in ranking] == ["b.md", "c.md", "a.md"]  # 0.8, 0.7 by its text, 0.5
    index.close()
