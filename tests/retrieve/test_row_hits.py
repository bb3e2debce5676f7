from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieve.base import Fuser
from rag.retrieve.dense import DenseRetriever
from rag.retrieve.logodds import LogOddsFuser
from rag.retrieve.row_hits import RowBackground, RowHits
from rag.retrieve.sparse import SparseRetriever
from rag.retrieve.zscore import CollectionZScoreFuser
from rag.testing import Sample, check_order, sample
from rag.types import Background, Chunk, Query, Ranking, ScoredChunk, Span

WORDS = ("dogs", "cats", "owls", "bark", "meow", "hoot", "at", "night", "dawn", "rain")
FUSERS = [CollectionZScoreFuser(keep=4), LogOddsFuser(keep=4)]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    texts = {f"{at}.md": " ".join(WORDS[at * step % 10] for step in range(1, 4)) for at in range(12)}
    with sample(tmp_path_factory.mktemp("rows"), texts) as made:
        yield made


def by_chunk(ranking: Ranking) -> Ranking:
    """The same without rows, as a foreign retriever gives it."""
    known = ranking.background
    assert known is not None
    return replace(
        ranking,
        hits=tuple(ranking.hits),
        background=Background(known.mean, known.deviation, known.size, known.score),
    )


@pytest.mark.parametrize("fuser", FUSERS, ids=lambda fuser: type(fuser).__name__)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), k=st.integers(1, 14))
def test_rankings_of_an_index_are_fused_the_same_by_row_and_by_chunk(
    fuser: Fuser, words: list[str], k: int, indexed: Sample
) -> None:
    queries = [Query(text=" ".join(words))]
    found = [
        ranking
        for retriever in (DenseRetriever(indexed.resources, k=k), SparseRetriever(indexed.resources, k=k))
        for ranking in retriever.retrieve(queries)
    ]
    assert all(isinstance(ranking.hits, RowHits) for ranking in found)
    fused = fuser.fuse(found)
    check_order(fused)
    assert fused.hits == fuser.fuse([by_chunk(ranking) for ranking in found]).hits


@pytest.mark.parametrize("other", ["other-index 1", "index 2"])
def test_rows_of_different_generations_are_never_taken_for_one_another(other: str) -> None:
    here = rows_of({3: "a", 5: "b"}, [2.0, 1.0], numbering="index 1")
    there = rows_of({3: "c", 5: "a"}, [4.0, 1.0], numbering=other)
    fused = CollectionZScoreFuser(keep=9).fuse([here, there])
    # Scores are by chunk: a has 2 and 1, b has 1 and 0, c has 0 and 4; means are 0 and deviations 1.
    assert {hit.chunk.document_id: hit.score for hit in fused} == {"c": 4.0, "a": 3.0, "b": 1.0}


def test_a_hit_without_a_finite_score_is_left_out_of_rows_too(caplog: pytest.LogCaptureFixture) -> None:
    torn = rows_of({3: "a", 5: "b"}, [math.inf, 1.0], numbering="index 1")
    assert [hit.chunk.document_id for hit in CollectionZScoreFuser(keep=9).fuse([torn])] == ["b"]
    assert "1 of 2 scores of test are not finite" in caplog.text


def test_hits_by_row_are_a_sequence_of_scored_chunks() -> None:
    ranking = rows_of({3: "a", 5: "b", 9: "c"}, [3.0, 2.0, 1.0], numbering="index 1")
    plain = tuple(ScoredChunk(chunk(name), score, "test") for name, score in (("a", 3.0), ("b", 2.0), ("c", 1.0)))
    assert (len(ranking), ranking[1], ranking.hits[-2:], list(ranking)) == (3, plain[1], plain[1:], list(plain))
    assert ranking.hits == plain
    assert plain == ranking.hits
    assert replace(ranking, background=None) == Ranking(plain)
    assert ranking.hits != plain[:2]
    assert repr(ranking.hits) == repr(plain)


def chunk(name: str) -> Chunk:
    return Chunk(span=Span(name, 0, 1), text=name)


def rows_of(names: dict[int, str], scores: list[float], *, numbering: str) -> Ranking:
    """A ranking by row, of an index in which all other rows score 0."""
    of_row = dict(zip(names, scores, strict=True))
    of_name = dict(zip(names.values(), scores, strict=True))

    def by_name(chunks: Sequence[Chunk]) -> list[float]:
        return [of_name.get(each.document_id, 0.0) for each in chunks]

    def by_row(rows: np.ndarray) -> np.ndarray:
        return np.array([of_row.get(row, 0.0) for row in rows.tolist()], np.float32)

    hits = RowHits([chunk(name) for name in names.values()], [*names], scores, origin="test", numbering=numbering)
    return Ranking(hits, RowBackground(0.0, 1.0, 9, by_name, numbering, by_row))
