"""Retrieval by MaxSim over an index directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.config.problems import InvalidConfigError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.models.token_encoder import EmbedderTokenEncoder, MultiVectorTokenEncoder, maxsim
from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec
from rag.retrieve.dense import DenseRetriever
from rag.retrieve.encoded_specs import MultiVectorSpec
from rag.retrieve.specs import ZScoreSpec
from rag.testing import Sample, SampleResources, check_retriever, sample
from rag.testing.sample import paragraphs
from rag.types import Document, Query


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("multivector")) as made:
        yield made


def test_it_holds_to_the_contract_of_a_retriever(indexed: Sample) -> None:
    check_retriever(MultiVectorSpec(k=3).build(indexed.resources), k=3)


def test_it_holds_to_the_contract_where_only_candidates_are_scored(
    indexed: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.index.multivector.SAMPLE", 2)
    monkeypatch.setattr("rag.retrieve.encoded.MARGIN", 2)
    check_retriever(MultiVectorSpec(k=3, candidates=1, prune=1.0, patience=1).build(indexed.resources), k=3)


def test_scores_are_maxsim_of_the_embedders_token_states(indexed: Sample) -> None:
    [ranking] = MultiVectorSpec(k=20).build(indexed.resources).retrieve([Query(text="dogs bark at night")])
    encoder = EmbedderTokenEncoder(indexed.resources.embedder)
    [query] = encoder.encode_queries(["dogs bark at night"])
    expected = maxsim(query, encoder.encode_documents([hit.chunk.indexed_text for hit in ranking]))
    assert [hit.score for hit in ranking] == pytest.approx(expected.tolist(), abs=0.05)
    assert ranking[0].chunk.document_id == "animals.md"


def test_it_fuses_with_other_retrievers_by_its_background(indexed: Sample) -> None:
    queries = [Query(text="owls hoot")]
    rankings = [
        retriever.retrieve(queries)[0]
        for retriever in (MultiVectorSpec(k=2).build(indexed.resources), DenseRetriever(indexed.resources, k=2))
    ]
    assert ZScoreSpec().build(indexed.resources).fuse(rankings)[0].chunk.document_id == "birds.md"


def test_it_follows_the_index_and_keeps_to_principals(indexed: Sample, tmp_path: Path) -> None:
    embedder = indexed.resources.embedder
    index = IndexDirectory(IndexSpec(path=str(tmp_path / "index")))
    retriever = MultiVectorSpec(k=5).build(SampleResources(embedder, index, {}))

    def put(name: str, access: tuple[str, ...] | None) -> None:
        document = Document(id=name, text=f"rain in {name}", access=access)
        chunks = paragraphs(document)
        with index.writer(embedder.identity) as writer:
            writer.add(
                document, chunks, embedder.embed_documents([chunk.text for chunk in chunks]), stamp="", fingerprint=""
            )
            writer.commit()
        index.refresh()

    def found(principals: frozenset[str] | None) -> set[str]:
        [ranking] = retriever.retrieve([Query(text="rain", principals=principals)])
        return {hit.chunk.document_id for hit in ranking}

    put("open.md", ("ann", "bob"))
    assert found(None) == {"open.md"}
    put("secret.md", ("ann",))
    assert found(None) == {"open.md", "secret.md"}
    assert found(frozenset({"bob"})) == {"open.md"}
    index.rebuild(sparse=False)
    assert not (tmp_path / "index" / "multivector").exists()
    index.close()


def test_an_index_without_chunks_gives_nothing(indexed: Sample, tmp_path: Path) -> None:
    index = IndexDirectory(IndexSpec(path=str(tmp_path / "index")))
    with index.writer(indexed.resources.embedder.identity) as writer:
        writer.commit()
    [ranking] = (
        MultiVectorSpec().build(SampleResources(indexed.resources.embedder, index, {})).retrieve([Query(text="a")])
    )
    assert len(ranking) == 0
    index.close()


def test_a_model_that_is_not_there_is_named_when_the_pipeline_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no folder.*absent"):
        PipelineSpec(ask=AskSpec(retrieve=(MultiVectorSpec(model=str(tmp_path / "absent")),)))


def test_an_embedder_without_token_states_is_refused_when_the_pipeline_is_read() -> None:
    text = """
version: 1
ingest: {embed: {use: onnx, dimension: 8}}
ask: {retrieve: [{use: multivector}]}
"""
    with pytest.raises(InvalidConfigError, match="'multivector' needs token states, which 'onnx'"):
        PipelineSpec.from_yaml(text)


def test_a_dense_index_may_search_the_encodings() -> None:
    text = "version: 1\nask: {retrieve: [{use: multivector, search: {use: binary, rescore: 4}}]}\n"
    spec = PipelineSpec.from_yaml(text)
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    assert spec.ingest == IngestSpec()


def test_a_model_of_its_own_encodes_questions_and_chunks(indexed: Sample, masked_lm: Path, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="the extra hf is not installed")
    folder = str(tmp_path / "multi-vector")
    sentence_transformers.MultiVectorEncoder(str(masked_lm), device="cpu").save_pretrained(folder)
    retriever = MultiVectorSpec(model=folder, k=3, device="cpu").build(indexed.resources)
    check_retriever(retriever, k=3)
    [ranking] = retriever.retrieve([Query(text="the dogs bark")])
    encoder = MultiVectorTokenEncoder(folder, device="cpu")
    [query] = encoder.encode_queries(["the dogs bark"])
    expected = maxsim(query, encoder.encode_documents([hit.chunk.indexed_text for hit in ranking]))
    assert [hit.score for hit in ranking] == pytest.approx(expected.tolist(), rel=0.01)
