"""Features at ingest, and the search that borrows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.embed.hash import HashEmbedder
from rag.enrich.specs import PrfFeaturesSpec
from rag.index.directory import IndexDirectory
from rag.index.specs import ExactSpec, IndexSpec
from rag.query.prf_features import PrfFeatures
from rag.testing import sample
from rag.testing.sample import SampleResources
from rag.types import Chunk, Condition, Document, Query, Span

TEXTS = {"a": "dogs bark", "b": "cats meow", "c": "owls hoot"}


def test_features_go_into_fields_of_their_own(tmp_path: Path, function_model, of) -> None:
    model = function_model(lambda messages: json.dumps({"feature_keywords": ["hounds"], "feature_summary": "Noise."}))
    with sample(tmp_path, prompts={"metadata": "{fields}\n---\n{title}{text}"}, llm=model) as made:
        document, chunks = of("Dogs bark.")
        (chunk,) = PrfFeaturesSpec().build(made.resources).enrich(chunks, document)
    assert chunk.meta == {"feature_keywords": "hounds", "feature_summary": "Noise.", "features_by": "llm"}


@pytest.fixture(params=["dense", "sparse"])
def resources(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SampleResources]:
    embedder = HashEmbedder(dimension=256)
    dense = request.param == "dense"
    index = IndexDirectory(IndexSpec(path=str(tmp_path), dense=ExactSpec() if dense else None))
    with index.writer(embedder.identity if dense else None) as writer:
        for name, text in TEXTS.items():
            meta = {"feature_keywords": f"about {name}", "page": 3}
            chunk = Chunk(span=Span(name, 0, len(text)), text=text, meta=meta)
            vectors = embedder.embed_documents([text]) if dense else None
            writer.add(Document(id=name, text=text), [chunk], vectors, stamp="", fingerprint="")
        writer.commit()
    yield SampleResources(embedder, index, {})
    index.close()


def transform(resources: SampleResources, *, depth: int = 1, least: float = 0.0) -> PrfFeatures:
    return PrfFeatures(resources, fields=("feature_keywords", "page"), depth=depth, weight=0.3, least=least)


def test_the_question_is_joined_by_one_with_the_features_of_what_it_finds(resources: SampleResources) -> None:
    query = Query(text="do dogs bark")
    (made,) = transform(resources).transform([query])
    assert made.queries == (query, query.rephrased("do dogs bark about a", weight=0.3))
    assert made.notes == {"feedback": 1}


def test_filters_hold_for_the_first_search(resources: SampleResources) -> None:
    nobody = Query(text="do dogs bark", filter=Condition(op="eq", field="page", values=(4,)))
    (made,) = transform(resources).transform([nobody])
    assert made.queries == (nobody,)


def test_without_a_first_chunk_that_stands_out_there_is_no_feedback(resources: SampleResources) -> None:
    query = Query(text="do dogs bark")
    # one of three chunks scores, the others not: it is sqrt(2) = 1.41 deviations above the mean
    assert len(transform(resources, least=1.3).transform([query])[0].queries) == 2
    (made,) = transform(resources, least=1.5).transform([query])
    assert (made.queries, made.notes) == ((query,), {"feedback": "none: the first search found nothing good"})


def test_an_index_without_the_features_is_said_in_the_trace(resources: SampleResources) -> None:
    query = Query(text="do dogs bark")
    other = PrfFeatures(resources, fields=("keywords", "summary"), depth=2, weight=0.3, least=0.0)
    (made,) = other.transform([query])
    assert (made.queries, made.notes) == ((query,), {"feedback": "none: the chunks have no keywords or summary"})
