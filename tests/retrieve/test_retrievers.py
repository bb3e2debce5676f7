from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.errors import ConfigError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.retrieve.dense import DenseRetriever
from rag.retrieve.sparse import SparseRetriever
from rag.retrieve.specs import ZScoreSpec
from rag.testing import Sample, SampleResources, sample
from rag.testing.sample import paragraphs
from rag.types import Condition, Document, Query, Ranking

TEXTS = {
    "dogs.md": "Dogs bark at night.",
    "cats.md": "Cats meow at dawn.",
    "owls.md": "Owls hoot at night.",
    "z-copy.md": "Rain falls.",
    "a-copy.md": "Rain falls.",
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("retrieve"), TEXTS) as made:
        yield made


def names(ranking: Ranking) -> list[str]:
    return [hit.chunk.document_id for hit in ranking]


def test_dense_scores_are_the_cosines_of_the_question_with_every_chunk(indexed: Sample) -> None:
    [ranking] = DenseRetriever(indexed.resources, k=10).retrieve([Query(text="dogs at night")])
    embedder = indexed.resources.embedder
    vectors = embedder.embed_documents([chunk.indexed_text for chunk in indexed.chunks])
    cosines = vectors @ embedder.embed_queries(["dogs at night"])[0]
    expected = {chunk.id: float(value) for chunk, value in zip(indexed.chunks, cosines, strict=True)}
    assert {hit.chunk.id: hit.score for hit in ranking} == pytest.approx(expected, abs=1e-6)
    assert ranking.background is not None
    assert ranking.background.mean == pytest.approx(float(cosines.mean()), abs=1e-6)
    assert ranking.background.deviation == pytest.approx(float(cosines.std()), abs=1e-6)
    assert ranking.background.size == len(TEXTS)


def test_sparse_finds_shared_words_alone(indexed: Sample) -> None:
    [ranking] = SparseRetriever(indexed.resources, k=10).retrieve([Query(text="dogs at night")])
    assert names(ranking) == ["dogs.md", "owls.md"]


def test_the_background_scores_chunks_that_were_not_retrieved(indexed: Sample) -> None:
    [ranking] = SparseRetriever(indexed.resources, k=10).retrieve([Query(text="dogs")])
    assert ranking.background is not None
    by_name = {chunk.document_id: chunk for chunk in indexed.chunks}
    scores = ranking.background.score([by_name["cats.md"], by_name["dogs.md"]])
    assert scores[0] == pytest.approx(0.0)
    assert scores[1] == pytest.approx(ranking[0].score)


@pytest.mark.parametrize("retriever", [DenseRetriever, SparseRetriever])
def test_equal_scores_at_the_cut_are_kept_by_chunk_id(
    retriever: type[DenseRetriever | SparseRetriever], indexed: Sample
) -> None:
    [ranking] = retriever(indexed.resources, k=1).retrieve([Query(text="rain falls")])
    assert names(ranking) == ["a-copy.md"]  # z-copy.md was indexed first


@pytest.mark.parametrize("retriever", [DenseRetriever, SparseRetriever])
def test_each_query_of_a_batch_keeps_its_own_filter_and_principals(
    retriever: type[DenseRetriever | SparseRetriever], tmp_path: Path, indexed: Sample
) -> None:
    embedder = indexed.resources.embedder
    index = IndexDirectory(IndexSpec(path=str(tmp_path / "index")))
    with index.writer(embedder.identity) as writer:
        for name, access in (("open.md", ("ann", "bob")), ("secret.md", ("ann",)), ("unlisted.md", None)):
            document = Document(id=name, text="Dogs bark.", meta={"name": name}, access=access)
            [chunk] = paragraphs(document)
            writer.add(document, [chunk], embedder.embed_documents([chunk.text]), stamp="", fingerprint="f")
        writer.commit()
    queries = [
        Query(text="dogs bark"),
        Query(text="dogs bark", principals=frozenset({"bob"})),
        Query(text="dogs bark", principals=frozenset({"ann"})),
        Query(text="dogs bark", principals=frozenset()),
        Query(text="dogs bark", filter=Condition(op="eq", field="name", values=("open.md",))),
    ]
    rankings = retriever(SampleResources(embedder, index, {}), k=5).retrieve(queries)
    assert [names(ranking) for ranking in rankings] == [
        ["open.md", "secret.md", "unlisted.md"],
        ["open.md"],
        ["open.md", "secret.md"],
        [],
        ["open.md"],
    ]
    index.close()


def test_a_retriever_that_finds_nothing_leaves_the_other_s_order(indexed: Sample) -> None:
    query = [Query(text="zzz qqq")]
    dense = DenseRetriever(indexed.resources, k=5).retrieve(query)[0]
    sparse = SparseRetriever(indexed.resources, k=5).retrieve(query)[0]
    assert len(sparse) == 0
    fused = ZScoreSpec(keep=5).build(indexed.resources).fuse([dense, sparse])
    assert names(fused) == names(dense)


def test_an_index_without_the_part_a_retriever_needs_says_which_setting_to_change(indexed: Sample) -> None:
    path = str(indexed.resources.index.path)
    for retriever, spec in (
        (DenseRetriever, IndexSpec(path=path, dense=None)),
        (SparseRetriever, IndexSpec(path=path, sparse=None)),
    ):
        index = IndexDirectory(spec)
        with pytest.raises(ConfigError, match="the index has none") as caught:
            retriever(SampleResources(indexed.resources.embedder, index, {}), k=3).retrieve([Query(text="dogs")])
        assert "ingest.index" in caught.value.hint
        index.close()


def test_scores_are_plain_numbers(indexed: Sample) -> None:
    [ranking] = DenseRetriever(indexed.resources, k=2).retrieve([Query(text="dogs")])
    assert all(type(hit.score) is float and np.isfinite(hit.score) for hit in ranking)
