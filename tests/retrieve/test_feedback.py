"""Retrieval that searches a second time by what it found first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.embed.hash import HashEmbedder
from rag.errors import ConfigError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec, SparseIndexSpec
from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec
from rag.retrieve.dense import DenseRetriever
from rag.retrieve.feedback_specs import FEEDBACK, GqrSpec, Rm3Spec, RocchioSpec, VectorPrfSpec
from rag.retrieve.gqr import refine, softmax
from rag.retrieve.prf import average, rocchio
from rag.retrieve.retriever_spec import RetrieverSpec
from rag.retrieve.rm3 import interpolated, relevance_model
from rag.retrieve.sparse import SparseRetriever
from rag.retrieve.specs import DenseRetrieverSpec
from rag.testing import Sample, SampleResources, check_retriever, sample
from rag.testing.sample import paragraphs
from rag.types import Condition, Document, Query, Ranking

TEXTS = {
    "one.md": "kernel panic driver",
    "two.md": "kernel driver module",
    "three.md": "driver module loader",
    "four.md": "summer rain",
}
EVERYTHING = [spec(k=5) for spec in FEEDBACK]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("feedback"), TEXTS) as made:
        yield made


def names(ranking: Ranking) -> list[str]:
    return [hit.chunk.document_id for hit in ranking]


# ---- RM3


def test_the_relevance_model_is_the_score_weighted_mean_of_term_shares() -> None:
    chunks = [{"a": 1, "b": 3}, {"b": 1, "c": 1}]
    # weights: a 2/4 = .5; b 2 * 3/4 + 1/2 = 2; c 1/2 = .5; the sum is 3
    model = relevance_model(chunks, [2.0, 1.0], keep=3, usable=lambda term: True)
    assert model == pytest.approx({"b": 2 / 3, "a": 1 / 6, "c": 1 / 6})
    # cut at two, a before c by name, and made to sum to 1 again
    assert relevance_model(chunks, [2.0, 1.0], keep=2, usable=lambda term: True) == pytest.approx({"b": 0.8, "a": 0.2})
    # an unusable term gives its place to the next, and still counts in the length
    assert relevance_model(chunks, [2.0, 1.0], keep=2, usable=lambda term: term != "b") == pytest.approx(
        {"a": 0.5, "c": 0.5}
    )


def test_the_question_and_the_model_share_the_weight() -> None:
    assert interpolated({"a": 1.0}, {"a": 0.2, "b": 0.8}, original=0.5) == pytest.approx({"a": 0.6, "b": 0.4})
    assert interpolated({"a": 1.0}, {}, original=0.5) == {"a": 1.0}
    assert interpolated({"a": 1.0}, {"b": 1.0}, original=1.0) == {"a": 1.0}


def test_rm3_finds_what_shares_no_word_with_the_question(indexed: Sample) -> None:
    query = [Query(text="kernel")]
    assert set(names(SparseRetriever(indexed.resources, k=5).retrieve(query)[0])) == {"one.md", "two.md"}
    [ranking] = Rm3Spec(k=5).build(indexed.resources).retrieve(query)
    assert set(names(ranking)[:2]) == {"one.md", "two.md"}
    assert names(ranking)[2:] == ["three.md"]  # by "driver" and "module"


def test_rm3_with_all_the_weight_on_the_question_ranks_as_bm25(indexed: Sample) -> None:
    query = [Query(text="kernel driver")]
    [plain] = SparseRetriever(indexed.resources, k=5).retrieve(query)
    [same] = Rm3Spec(k=5, original=1.0).build(indexed.resources).retrieve(query)
    assert names(same) == names(plain)
    # shares: each of the two words counts one half
    assert [hit.score for hit in same] == pytest.approx([hit.score / 2 for hit in plain])


def test_rm3_of_a_question_without_a_known_word_finds_nothing(indexed: Sample) -> None:
    assert len(Rm3Spec().build(indexed.resources).retrieve([Query(text="zzz")])[0]) == 0


# ---- vectors


def test_vectors_move_by_the_published_weights() -> None:
    question, found = np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 1.0]])
    assert average(question, found) == pytest.approx([2 / 3, 2 / 3])
    assert rocchio(question, found, feedback=2, alpha=0.4, beta=0.6, gamma=0.0) == pytest.approx([0.7, 0.6])


def test_rocchio_moves_away_from_the_last_that_are_not_among_the_first() -> None:
    question, found = np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    moved = rocchio(question, found, feedback=2, alpha=0.4, beta=0.6, gamma=0.5)
    assert moved == pytest.approx([0.2, 0.6])  # the third alone is last


def test_vector_feedback_ranks_by_the_cosine_with_the_mean(indexed: Sample) -> None:
    [ranking] = VectorPrfSpec(k=4, feedback=2).build(indexed.resources).retrieve([Query(text="kernel panic")])
    embedder = indexed.resources.embedder
    chunks = {chunk.document_id: chunk for chunk in indexed.chunks}
    vectors = {name: embedder.embed_documents([chunk.text])[0] for name, chunk in chunks.items()}
    [question] = embedder.embed_queries(["kernel panic"])
    mean = (question + vectors["one.md"] + vectors["two.md"]) / 3
    mean /= np.linalg.norm(mean)
    expected = {name: float(vector @ mean) for name, vector in vectors.items()}
    assert {hit.chunk.document_id: hit.score for hit in ranking} == pytest.approx(expected, abs=1e-6)


def test_rocchio_with_all_the_weight_on_the_question_ranks_as_dense_retrieval(indexed: Sample) -> None:
    query = [Query(text="kernel panic")]
    [plain] = DenseRetriever(indexed.resources, k=4).retrieve(query)
    [same] = RocchioSpec(k=4, alpha=1.0, beta=0.0).build(indexed.resources).retrieve(query)
    assert names(same) == names(plain)
    assert [hit.score for hit in same] == pytest.approx([hit.score for hit in plain], abs=1e-6)


# ---- guided refinement


def test_a_refined_vector_nears_the_mean_of_both_distributions() -> None:
    found, question, second = np.eye(2), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    start = softmax(found @ question)
    assert start == pytest.approx([0.7311, 0.2689], abs=1e-4)
    target = (start + softmax(second)) / 2
    assert target == pytest.approx([0.5, 0.5])
    assert float(target @ np.log(target / start)) == pytest.approx(0.1201, abs=1e-4)
    assert found.T @ (start - target) == pytest.approx([0.2311, -0.2311], abs=1e-4)
    # Adam's first step has the length of the rate, whatever the gradient
    assert refine(question, found, second, scale=1.0, steps=1, rate=0.1) == pytest.approx([0.9, 0.1], abs=1e-6)
    refined = refine(question, found, second, scale=1.0, steps=50, rate=0.1)
    assert softmax(found @ refined) == pytest.approx([0.51, 0.49], abs=0.02)


def test_a_guide_of_the_same_opinion_changes_nothing() -> None:
    found, question = np.eye(2), np.array([1.0, 0.0])
    assert refine(question, found, found @ question, scale=1.0, steps=50, rate=0.1) == pytest.approx(question)


def test_without_steps_guided_refinement_is_dense_retrieval(indexed: Sample) -> None:
    query = [Query(text="kernel panic")]
    [plain] = DenseRetriever(indexed.resources, k=4).retrieve(query)
    [same] = GqrSpec(k=4, steps=0, scope="index").build(indexed.resources).retrieve(query)
    assert names(same) == names(plain)
    [among] = GqrSpec(k=4, steps=0, candidates=1, scope="candidates").build(indexed.resources).retrieve(query)
    assert names(among) == names(plain)[:1]  # the best of both is the same chunk


# ---- all of them


@pytest.mark.parametrize("spec", FEEDBACK, ids=lambda spec: spec.__name__)
def test_feedback_keeps_the_contract_of_retrievers(spec: type[RetrieverSpec], tmp_path: Path) -> None:
    with sample(tmp_path) as made:
        check_retriever(spec(k=3).build(made.resources), k=3)  # type: ignore[call-arg]  # each has a k
        check_retriever(spec(k=100).build(made.resources), k=100)  # type: ignore[call-arg]


def test_published_candidates_alone_keep_the_contract_too(tmp_path: Path) -> None:
    with sample(tmp_path) as made:
        check_retriever(GqrSpec(scope="candidates").build(made.resources))


@pytest.mark.parametrize("spec", FEEDBACK, ids=lambda spec: spec.__name__)
def test_an_index_without_what_is_needed_says_which_setting_to_change(
    spec: type[RetrieverSpec], indexed: Sample
) -> None:
    path = str(indexed.resources.index.path)
    index = IndexDirectory(IndexSpec(path=path, **{spec.needs[-1].split(".")[-1]: None}))
    with pytest.raises(ConfigError, match="the index has no") as caught:
        spec().build(SampleResources(indexed.resources.embedder, index, {})).retrieve([Query(text="kernel")])
    assert "ingest.index" in caught.value.hint
    index.close()


WORDS = ("kernel", "panic", "driver", "module", "rain", "summer")
PEOPLE = ("ann", "bob")


@given(
    documents=st.lists(
        st.tuples(
            st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
            st.none() | st.sets(st.sampled_from(PEOPLE)).map(lambda names: tuple(sorted(names))),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=8,
    ),
    question=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_filters_and_access_lists_hold_in_both_searches(
    documents: list[tuple[list[str], tuple[str, ...] | None, int]],
    question: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    embedder = HashEmbedder(dimension=64)
    index = IndexDirectory(IndexSpec(path=str(tmp_path_factory.mktemp("access") / "index")))
    with index.writer(embedder.identity) as writer:
        for at, (words, access, year) in enumerate(documents):
            document = Document(id=f"{at}", text=" ".join(words), access=access, meta={"year": year})
            [chunk] = paragraphs(document)
            writer.add(document, [chunk], embedder.embed_documents([chunk.text]), stamp="", fingerprint="f")
        writer.commit()
    text = " ".join(question)
    queries = [
        Query(text=text, principals=frozenset({"ann"})),
        Query(text=text, principals=frozenset()),
        Query(text=text, filter=Condition(op="eq", field="year", values=(1,))),
    ]
    allowed = [
        {str(at) for at, (_, access, _) in enumerate(documents) if access is not None and "ann" in access},
        set[str](),
        {str(at) for at, (_, _, year) in enumerate(documents) if year == 1},
    ]
    for spec in EVERYTHING:
        rankings = spec.build(SampleResources(embedder, index, {})).retrieve(queries)
        for ranking, may_see in zip(rankings, allowed, strict=True):
            assert set(names(ranking)) <= may_see
    index.close()


def test_a_forbidden_chunk_gives_no_words_to_the_second_search(tmp_path: Path) -> None:
    embedder = HashEmbedder(dimension=64)
    index = IndexDirectory(IndexSpec(path=str(tmp_path / "index")))
    with index.writer(embedder.identity) as writer:
        for name, text, access in (
            ("secret", "merger albatross", ("ann",)),
            ("open", "albatross colony", ("ann", "bob")),
            ("other", "merger news", ("ann", "bob")),
        ):
            document = Document(id=name, text=text, access=access)
            [chunk] = paragraphs(document)
            writer.add(document, [chunk], embedder.embed_documents([chunk.text]), stamp="", fingerprint="f")
        writer.commit()
    rm3 = Rm3Spec().build(SampleResources(embedder, index, {}))
    of_ann, of_bob = rm3.retrieve([Query(text="merger", principals=frozenset({name})) for name in PEOPLE])
    assert set(names(of_ann)) == {"secret", "open", "other"}
    assert names(of_bob) == ["other"]  # that "merger" goes with "albatross" is known from the secret alone
    index.close()


class OtherTermsSpec(SparseIndexSpec):
    use: Literal["other-terms"] = "other-terms"


def test_rm3_beside_another_index_of_terms_than_bm25_is_refused() -> None:
    ingest = IngestSpec(index=IndexSpec(sparse=OtherTermsSpec()))
    with pytest.raises(ValueError, match="'rm3' weighs the terms of 'bm25'"):
        PipelineSpec(ingest=ingest, ask=AskSpec(retrieve=(DenseRetrieverSpec(), Rm3Spec())))
