"""Learned sparse retrieval with tiny models of random weights, and with weights of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.errors import ModelNotFoundError
from rag.index.directory import IndexDirectory
from rag.models.sparse_encoder import SpladeEncoder
from rag.pipeline.spec import AskSpec, PipelineSpec
from rag.retrieve.encoded_specs import LearnedSparseSpec
from rag.testing import Sample, check_retriever, sample

torch = pytest.importorskip("torch", reason="torch is not installed (extra hf)")
sentence_transformers = pytest.importorskip("sentence_transformers")
transformers = pytest.importorskip("transformers")

CAT, DOG, THE, TERMS = 5, 6, 12, 13  # of the vocabulary in conftest.py


@pytest.fixture(scope="module")
def splade(masked_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splade")
    sentence_transformers.SparseEncoder(str(masked_lm), device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def inference_free(masked_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents by the model, questions by static weights: 2 for cat, 1 for dog."""
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    weight = torch.zeros(TERMS)
    weight[CAT], weight[DOG] = 2.0, 1.0
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm)
    router = Router.for_query_document(
        query_modules=[SparseStaticEmbedding(tokenizer=tokenizer, weight=weight, frozen=True)],
        document_modules=[Transformer(str(masked_lm), transformer_task="fill-mask"), SpladePooling("max")],
    )
    folder = tmp_path_factory.mktemp("inference-free")
    sentence_transformers.SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("learned-sparse")) as made:
        yield made


def test_weights_are_the_largest_log_of_one_plus_the_positive_logits(splade: Path, masked_lm: Path) -> None:
    texts = ["the dog", "cat cat fish bird"]  # of different lengths: padding must not count
    found = SpladeEncoder(str(splade), device="cpu").encode_documents(texts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(masked_lm)
    model = transformers.AutoModelForMaskedLM.from_pretrained(masked_lm).eval()
    for text, terms in zip(texts, found, strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0].numpy()
        expected = np.log1p(np.maximum(logits, 0)).max(axis=0)
        assert terms.terms.tolist() == np.flatnonzero(expected).tolist()
        assert terms.weights == pytest.approx(expected[expected > 0], rel=1e-4)


def test_questions_of_a_model_without_inference_are_looked_up(inference_free: Path) -> None:
    encoder = SpladeEncoder(str(inference_free), device="cpu")
    [query] = encoder.encode_queries(["cat cat dog"])  # presence alone: a repeated term does not add
    assert (query.terms.tolist(), query.weights.tolist()) == ([CAT, DOG], [2.0, 1.0])
    assert encoder.terms == TERMS


def test_the_terms_of_a_text_are_its_own_tokens_without_special_ones(splade: Path) -> None:
    [tokens] = SpladeEncoder(str(splade), device="cpu").tokens(["dog the cat dog"])
    assert tokens.tolist() == sorted([CAT, DOG, THE])


def test_only_the_heaviest_terms_are_kept(splade: Path) -> None:
    everything = SpladeEncoder(str(splade), device="cpu").encode_documents(["the dog"])[0]
    [cut] = SpladeEncoder(str(splade), device="cpu", document_terms=2).encode_documents(["the dog"])
    assert sorted(cut.weights.tolist()) == pytest.approx(sorted(everything.weights.tolist())[-2:])


@pytest.mark.parametrize("options", [{}, {"queries": "idf"}, {"engine": "seismic"}])
def test_it_holds_to_the_contract_of_a_retriever(
    indexed: Sample, splade: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    if options.get("engine"):
        pytest.importorskip("seismic", reason="pyseismic-lsr is not installed (extra seismic)")
        monkeypatch.setattr("rag.index.learned_sparse.EXACT_ROWS", 0)
        monkeypatch.setattr("rag.retrieve.encoded.MARGIN", 0)
    spec = LearnedSparseSpec(model=str(splade), k=3, device="cpu", **options)  # type: ignore[arg-type]  # of any type
    check_retriever(spec.build(indexed.resources), k=3)


def test_other_weights_in_the_same_folder_are_encoded_anew(
    indexed: Sample, splade: Path, open_encodings: Callable[[IndexDirectory], int]
) -> None:
    spec = LearnedSparseSpec(model=str(splade), device="cpu")
    spec.open(indexed.resources.index.reader(), spec.encoder(indexed.resources)).kept()
    before = open_encodings(indexed.resources.index)
    (splade / "note.txt").write_text("changed")
    spec.open(indexed.resources.index.reader(), spec.encoder(indexed.resources)).kept()
    assert open_encodings(indexed.resources.index) == before + 1


@pytest.fixture
def open_encodings() -> Callable[[IndexDirectory], int]:
    return lambda index: len(list((index.path / "learned-sparse").iterdir()))


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(ModelNotFoundError, match="absent"):
        SpladeEncoder(absent).encode_queries(["a"])
    with pytest.raises(ValueError, match=r"there is no folder.*absent"):
        PipelineSpec(ask=AskSpec(retrieve=(LearnedSparseSpec(model=absent),)))


def test_seismic_without_its_package_is_refused_when_the_pipeline_is_read(
    splade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "seismic" else find_spec(name))
    assert LearnedSparseSpec(model=str(splade)).missing() is None
    with pytest.raises(ValueError, match=r"ragloom\[seismic\]"):
        PipelineSpec(ask=AskSpec(retrieve=(LearnedSparseSpec(model=str(splade), engine="seismic"),)))


def test_an_ingest_weighs_the_terms_and_a_search_only_those_of_the_question(
    splade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sample(tmp_path / "prepared") as made:
        spec = LearnedSparseSpec(model=str(splade), device="cpu", k=3)
        spec.prepare(made.resources)
        refuse = "no chunk is encoded any more"
        monkeypatch.setattr(SpladeEncoder, "encode_documents", lambda self, texts: pytest.fail(refuse))
        check_retriever(spec.build(made.resources), k=3)
