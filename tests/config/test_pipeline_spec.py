from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rag.chunk.specs import ChunkerSpec, FixedSpec, HeadingsSpec, RecursiveSpec, WholeSpec
from rag.compress.specs import CompressorSpec, SentencesSpec, WholeChunksSpec
from rag.config.dump import selections
from rag.config.stage import use_of_field
from rag.embed.specs import HashSpec
from rag.generate.specs import ExtractiveSpec, GeneratorSpec, LlmSpec
from rag.index.specs import ChromaSpec, ExactSpec, HnswSpec, IndexSpec, NgramsSpec
from rag.models.specs import OpenAIModelSpec
from rag.pipeline.dynamic_spec import DynamicSpec
from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec, load_spec
from rag.registry import STAGES
from rag.rerank.specs import MmrSpec
from rag.retrieve.specs import DenseRetrieverSpec, FuserSpec, RrfSpec, SparseRetrieverSpec, ZScoreSpec
from rag.trigger.quco_specs import QucoSpec

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
counts = st.integers(1, 200)
chunkers: st.SearchStrategy[ChunkerSpec] = st.one_of(
    st.builds(RecursiveSpec, tokens=st.integers(1, 254)),
    st.builds(RecursiveSpec, words=counts),
    st.builds(FixedSpec, characters=counts),
    st.builds(HeadingsSpec, merge=st.booleans()),
    st.just(WholeSpec()),
)
fusers: st.SearchStrategy[FuserSpec] = st.one_of(
    st.builds(RrfSpec, keep=counts, constant=counts),
    st.builds(ZScoreSpec, weights=st.none() | st.tuples(st.floats(0, 1e30), st.floats(0, 1))),
)
compressors: st.SearchStrategy[CompressorSpec] = st.one_of(
    st.builds(WholeChunksSpec, keep=counts), st.builds(SentencesSpec, duplicate_cosine=st.floats(0.01, 1))
)
generators: st.SearchStrategy[GeneratorSpec] = st.one_of(
    st.builds(ExtractiveSpec, threshold=st.none() | st.floats(0, 1)),
    st.builds(LlmSpec, max_tokens=counts, prompt=st.sampled_from(["answer", "structured"])),
)
indexes = st.builds(
    IndexSpec, path=text.filter(bool), dense=st.sampled_from([ExactSpec(), HnswSpec(m=8), ChromaSpec(url="http://x:1")])
)
pipelines = st.builds(
    PipelineSpec,
    llm=st.builds(OpenAIModelSpec, base_url=st.just("http://x/v1"), model=text.filter(bool)),
    ingest=st.builds(
        IngestSpec, chunk=chunkers, embed=st.builds(HashSpec, dimension=counts.map(lambda n: n + 7)), index=indexes
    ),
    ask=st.builds(
        AskSpec,
        retrieve=st.tuples(st.builds(DenseRetrieverSpec, k=counts), st.builds(SparseRetrieverSpec, k=counts)),
        fuse=fusers,
        rerank=st.lists(st.builds(MmrSpec, relevance=st.floats(0, 1)), max_size=2).map(tuple),
        compress=compressors,
        generate=generators,
    ),
)


@given(pipelines, st.booleans())
def test_a_pipeline_written_as_yaml_reads_back_equal(spec: PipelineSpec, full: bool) -> None:
    assert PipelineSpec.from_yaml(spec.to_yaml(full=full), environ={"A": "x"}) == spec


def test_only_what_differs_from_the_defaults_is_written() -> None:
    spec = PipelineSpec(ask=AskSpec(fuse=ZScoreSpec(keep=5)))
    assert spec.to_yaml() == "version: 1\nask:\n  fuse:\n    use: zscore\n    keep: 5\n"


def test_text_that_looks_like_a_variable_survives_being_written() -> None:
    spec = PipelineSpec(ingest=IngestSpec(index=IndexSpec(path="${HOME}/x")))
    assert PipelineSpec.from_yaml(spec.to_yaml(), environ={"HOME": "/elsewhere"}) == spec


def test_an_empty_file_is_the_default_pipeline() -> None:
    assert PipelineSpec.from_yaml("", environ={}) == PipelineSpec()


def test_the_defaults_are_the_pipeline_hybrid_without_its_sources() -> None:
    hybrid = load_spec("hybrid", environ={}).spec
    assert hybrid.ingest.load[0].use == "files"
    assert hybrid.model_copy(update={"ingest": hybrid.ingest.model_copy(update={"load": ()})}) == PipelineSpec()


def test_stages_that_do_not_fit_are_refused_in_python_as_well() -> None:
    with pytest.raises(ValidationError, match=r"ask\.retrieve\.0 \(dense\) needs it"):
        PipelineSpec(ingest=IngestSpec(index=IndexSpec(dense=None)))


def test_every_stage_of_the_registry_has_its_place_in_the_pipeline() -> None:
    whole = PipelineSpec(
        ingest=IngestSpec(index=IndexSpec(ngrams=NgramsSpec())),
        ask=AskSpec(generate=LlmSpec(without_evidence="answer"), dynamic=DynamicSpec(trigger=QucoSpec())),
        llm=OpenAIModelSpec(base_url="http://x/v1", model="x"),
    )
    for stage in STAGES.values():
        section: object = whole
        *parents, name = stage.place.split(".")
        for parent in parents:
            section = getattr(section, parent)
        use = use_of_field(type(section).model_fields[name])  # type: ignore[attr-defined]  # every parent is a Spec
        assert use is not None
        assert use.stage == stage.name


def test_the_defaults_say_what_each_stage_uses_and_no_options() -> None:
    assert selections(PipelineSpec()) == {
        "ingest": {
            "load": [],
            "chunk": {"use": "recursive"},
            "enrich": [{"use": "headings"}],
            "embed": {"use": "onnx"},
            "index": {"dense": {"use": "exact"}, "sparse": {"use": "bm25"}},
        },
        "ask": {
            "transform": [],
            "retrieve": [{"use": "dense"}, {"use": "sparse"}],
            "fuse": {"use": "zscore"},
            "rerank": [],
            "expand": [],
            "compress": {"use": "none"},
            "generate": {"use": "extractive"},
            "cite": {"use": "checked"},
        },
    }


def test_reading_a_pipeline_imports_nothing_heavy() -> None:
    heavy = {"numpy", "torch", "onnxruntime", "onnx", "tokenizers", "faiss", "chromadb", "httpx", "lxml", "sqlite3"}
    code = (
        "import sys, rag.pipeline.spec\n"
        "rag.pipeline.spec.load_spec('openai', environ={})\n"
        f"found = sorted({heavy!r} & set(sys.modules))\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
