from __future__ import annotations

from pathlib import Path

import pytest

from rag import Pipeline
from rag.errors import IndexMismatchError
from rag.index import signatures
from rag.rerank import dedupe
from rag.rerank.dedupe import ComputedSignatures, DedupeReranker, StoredSignatures
from rag.testing.contracts import check_reranker
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span

NOTICE = "Employees may claim the cost of one pair of glasses every second year, up to an amount of 250 euros in total."
COPY = NOTICE.replace("250", "300")
SHOUTED = NOTICE.upper().replace(" ", "\n")
OTHER = "The cafeteria is open from half past eleven to two in the afternoon, and closed on public holidays."


def ranking(*texts: str) -> Ranking:
    chunks = [Chunk(span=Span(f"d{at}", 0, len(text)), text=text) for at, text in enumerate(texts)]
    return Ranking(tuple(ScoredChunk(chunk, 10.0 - at, "given") for at, chunk in enumerate(chunks)))


def kept(reranker: DedupeReranker, *texts: str) -> tuple[list[str], object]:
    (found,) = reranker.rerank([Query(text="glasses")], [ranking(*texts)])
    return [hit.chunk.document_id for hit in found], found.notes["hidden"]


def test_it_does_what_every_reranker_does() -> None:
    check_reranker(DedupeReranker(ComputedSignatures(), keep=5, least=0.8), keep=5)


def test_the_best_of_near_duplicates_stays_and_the_others_are_counted() -> None:
    reranker = DedupeReranker(ComputedSignatures(), keep=10, least=0.8)
    assert kept(reranker, OTHER, COPY, NOTICE, SHOUTED) == (["d0", "d1"], 2)
    assert kept(reranker, NOTICE, OTHER, COPY) == (["d0", "d1"], 1)
    assert kept(reranker, NOTICE, OTHER) == (["d0", "d1"], 0)


def test_with_a_resemblance_of_one_only_the_same_words_are_duplicates() -> None:
    assert kept(DedupeReranker(ComputedSignatures(), keep=10, least=1.0), NOTICE, COPY, SHOUTED) == (["d0", "d1"], 1)


def test_hidden_chunks_leave_their_place_to_the_next() -> None:
    reranker = DedupeReranker(ComputedSignatures(), keep=2, least=0.8)
    assert kept(reranker, NOTICE, COPY, SHOUTED, OTHER) == (["d0", "d3"], 2)


def test_what_resembles_a_hidden_chunk_alone_is_not_hidden() -> None:
    words = [f"word{n}" for n in range(60)]
    steps = [" ".join(words[at : at + 48]) for at in (0, 4, 8)]
    reranker = DedupeReranker(ComputedSignatures(), keep=10, least=0.8)
    assert kept(reranker, *steps[:2]) == (["d0"], 1)
    assert kept(reranker, *steps[1:]) == (["d0"], 1)
    assert kept(reranker, *steps) == (["d0", "d2"], 1)


def test_chunks_without_letters_are_duplicates_of_nothing() -> None:
    reranker = DedupeReranker(ComputedSignatures(), keep=10, least=0.8)
    assert kept(reranker, "---", "***", NOTICE) == (["d0", "d1", "d2"], 0)


def test_the_trace_says_how_many_were_hidden(own_directory: Path) -> None:
    Path("docs").mkdir()
    for at, text in enumerate([NOTICE, COPY, OTHER]):
        Path("docs", f"{at}.txt").write_text(text)
    overrides = [
        "ingest.load=[{use: files, root: docs}]",
        "ingest.embed={use: hash}",
        "ask.rerank=[{use: dedupe}]",
    ]
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        pipeline.ingest()
        result = pipeline.search("cost of glasses")
    (record,) = [record for record in result.trace.stages if record.stage == "rerank"]
    assert (record.taken, record.given, record.notes["hidden"]) == (3, 2, 1)


def stored(docs: dict[str, str], *overrides: str) -> Pipeline:
    Path("docs").mkdir(exist_ok=True)
    for name, text in docs.items():
        Path("docs", name).write_text(text)
    common = ["ingest.load=[{use: files, root: docs}]", "ingest.embed={use: hash}"]
    return Pipeline.from_yaml("hybrid", overrides=[*common, *overrides])


def test_signatures_that_an_ingest_left_hide_what_computed_ones_do(
    own_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = {f"{at}.txt": f"{text} Seen here alone." for at, text in enumerate([NOTICE, COPY, SHOUTED, OTHER])}
    made: list[int] = []
    for module in (signatures, dedupe):
        count = module.signature
        monkeypatch.setattr(module, "signature", lambda of, count=count: made.append(1) or count(of))
    found = []
    for rerank in ("{use: dedupe}", "{use: dedupe, stored: true}"):
        with stored(docs, f"ask.rerank=[{rerank}]") as pipeline:
            pipeline.ingest()
            before = len(made)
            found.append([hit.chunk.document_id for hit in pipeline.search("cost of glasses").ranking])
    assert len(made) == before == 8  # of four texts, once as candidates and once when they were ingested
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_an_index_without_signatures_is_told_what_makes_them(own_directory: Path) -> None:
    with stored({"a.txt": NOTICE, "b.txt": OTHER}) as plain:
        plain.ingest()
    with stored({}, "ask.rerank=[{use: dedupe, stored: true}]") as pipeline:
        with pytest.raises(IndexMismatchError, match="2 of 2 chunks have no MinHash signature") as caught:
            pipeline.search("cost of glasses")
        assert "`rag ingest`" in caught.value.hint
        assert pipeline.ingest().unchanged == 2
        assert len(pipeline.search("cost of glasses").ranking) == 2
        pipeline.rebuild_derived()
        assert len(pipeline.search("cost of glasses").ranking) == 2


def test_a_chunk_that_the_index_no_longer_has_is_compared_by_its_text(own_directory: Path) -> None:
    with stored({"a.txt": NOTICE}, "ask.rerank=[{use: dedupe, stored: true}]") as pipeline:
        pipeline.ingest()
        reranker = DedupeReranker(StoredSignatures(pipeline.resources), keep=5, least=0.8)
        kept_of_index = pipeline.search("glasses").ranking
        strangers = ranking(COPY, OTHER)
        (result,) = reranker.rerank([Query(text="glasses")], [Ranking((*kept_of_index, *strangers))])
    assert [hit.chunk.text for hit in result] == [NOTICE, OTHER]
