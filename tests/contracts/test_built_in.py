"""Every built-in component of the asking stages against the contract of its stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag import library
from rag.cite import specs as cite
from rag.compress import specs as compress
from rag.compress.specs import CompressorSpec
from rag.generate.specs import BUILT_IN as GENERATORS
from rag.generate.specs import GeneratorSpec
from rag.models.openai import OpenAIModel
from rag.rerank import specs as rerank
from rag.rerank.specs import RerankerSpec
from rag.retrieve.encoded_specs import LearnedSparseSpec
from rag.retrieve.sources_specs import SEVERAL_INDEXES
from rag.retrieve.specs import BUILT_IN_FUSERS, BUILT_IN_RETRIEVERS, FuserSpec, RetrieverSpec, SingleSpec
from rag.testing import (
    QUESTIONS,
    Sample,
    check_citer,
    check_compressor,
    check_fuser,
    check_generator,
    check_reranker,
    check_retriever,
    sample,
)
from rag.testing.openai_stub import OpenAIStub
from rag.types import Evidence, Query, Ranking, ScoredChunk

NEED_A_MODEL = (LearnedSparseSpec,)  # held to the contract where a tiny model is made for it
OF_ONE_INDEX = [spec for spec in BUILT_IN_RETRIEVERS if spec not in (*SEVERAL_INDEXES, *NEED_A_MODEL)]
PROMPT = "Answer from the sources, or say {no_answer}.\n---\n{history}\n{evidence}\n{question}"


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with OpenAIStub() as stub:
        prompts = {"answer": PROMPT, "structured": library.read("prompts", "structured")}
        llm = OpenAIModel(base_url=stub.base_url, model="stub")
        with sample(tmp_path_factory.mktemp("sample"), prompts=prompts, llm=llm) as made:
            yield made


@pytest.mark.parametrize(
    "spec",
    [spec for spec in BUILT_IN_RETRIEVERS if spec not in (*SEVERAL_INDEXES, *NEED_A_MODEL)],
    ids=lambda spec: spec.__name__,
)
@pytest.mark.parametrize("k", [1, 3, 100])
def test_a_retriever_keeps_its_contract(spec: type[RetrieverSpec], k: int, indexed: Sample) -> None:
    check_retriever(spec(k=k).build(indexed.resources), k=k)


@pytest.mark.parametrize("spec", BUILT_IN_FUSERS, ids=lambda spec: spec.__name__)
@pytest.mark.parametrize("keep", [1, 5, 100])
def test_a_fuser_keeps_its_contract(spec: type[FuserSpec], keep: int, indexed: Sample) -> None:
    check_fuser(spec(keep=keep).build(indexed.resources), rankings=1 if spec is SingleSpec else 3, keep=keep)


# Those that ask a model are run with one in tests/rerank.
@pytest.mark.parametrize("spec", [rerank.MmrSpec, rerank.LateInteractionSpec], ids=lambda spec: spec.__name__)
@pytest.mark.parametrize("keep", [1, 4, 100])
def test_a_reranker_keeps_its_contract(spec: type[RerankerSpec], keep: int, indexed: Sample) -> None:
    check_reranker(spec(keep=keep).build(indexed.resources), chunks=indexed.chunks, keep=keep)


# Those that ask a model are run with one in tests/compress.
@pytest.mark.parametrize(
    "spec",
    [compress.WholeChunksSpec, compress.SentencesSpec, compress.HybridSpec, compress.Bm25Spec],
    ids=lambda spec: spec.__name__,
)
def test_a_compressor_keeps_its_contract(spec: type[CompressorSpec], indexed: Sample) -> None:
    check_compressor(spec().build(indexed.resources), documents=indexed.documents, chunks=indexed.chunks)


@pytest.mark.parametrize("spec", GENERATORS, ids=lambda spec: spec.__name__)
def test_a_generator_keeps_its_contract(spec: type[GeneratorSpec], indexed: Sample) -> None:
    check_generator(spec().build(indexed.resources), evidence=evidence_on(QUESTIONS[0], indexed), question=QUESTIONS[0])


@pytest.mark.parametrize("spec", cite.BUILT_IN, ids=lambda spec: spec.__name__)
def test_a_citer_keeps_its_contract(spec: type[cite.CiterSpec], indexed: Sample) -> None:
    check_citer(spec().build(indexed.resources), evidence=evidence_on(QUESTIONS[0], indexed))


def evidence_on(question: str, indexed: Sample) -> tuple[Evidence, ...]:
    everything = Ranking(tuple(ScoredChunk(chunk, -float(at), "all") for at, chunk in enumerate(indexed.chunks)))
    whole = compress.WholeChunksSpec().build(indexed.resources)
    return whole.compress([Query(text=question)], [everything])[0].evidence
