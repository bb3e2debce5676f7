"""The three indexing conditions: content alone, metadata in the vector, metadata before the text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import log
from pathlib import Path

import numpy as np
import pytest

from rag import Pipeline
from rag.embed.hash import HashEmbedder, WordTokenizer
from rag.enrich.base import Cut
from rag.enrich.represent import MetadataTerms, prefixed
from rag.enrich.specs import RepresentSpec
from rag.errors import ConfigError
from rag.types import Chunk, Document, Span

DOCUMENT = Document(id="d", text="Dogs bark.", meta={"title": "Animals", "year": 1990})


def chunk(**meta: str | int) -> Chunk:
    return Chunk(span=Span("d", 0, 10), text="Dogs bark.", context="Section", meta=meta)


def terms(**options: object) -> MetadataTerms:
    return MetadataTerms(RepresentSpec.model_validate({"by": "tfidf-weighted", **options}))


def test_a_vector_is_seven_parts_text_and_three_parts_metadata() -> None:
    vectors, words = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    found = terms().blended(vectors, [[("dog", 2.5)]], ["dog"], words)
    assert found == pytest.approx(np.array([[0.9191, 0.3939]]), abs=1e-4)


def test_terms_take_part_by_their_weight_and_a_chunk_without_any_stays() -> None:
    vectors = np.array([[1, 0, 0], [1, 0, 0]], np.float32)
    words = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    found = terms(content_weight=0.5).blended(vectors, [[("a", 3.0), ("b", 1.0)], []], ["a", "b"], words)
    # 0.5 (1, 0, 0) + 0.5 (0, 3/4, 1/4), of length sqrt(0.25 + 0.140625 + 0.015625) = 0.63738
    assert found[0] == pytest.approx([0.78446, 0.58835, 0.19612], abs=1e-4)
    assert found[1].tolist() == [1, 0, 0]


def test_terms_weigh_by_the_metadata_of_the_collection() -> None:
    counted = terms(fields=["keywords"], terms=2)
    one, other = chunk(keywords="dogs; noise; tail"), chunk(keywords="dogs")
    counted.count([Cut(DOCUMENT, [one, other])])
    assert counted.of(one, DOCUMENT) == [
        ("noise", pytest.approx(log(3 / 2) + 1)),
        ("tail", pytest.approx(log(1.5) + 1)),
    ]
    assert counted.of(other, DOCUMENT) == [("dogs", pytest.approx(1.0))]


def test_a_prefix_names_fields_and_values_of_chunk_and_document_before_the_context() -> None:
    (found,) = prefixed(
        [chunk(keywords="dogs; noise")], DOCUMENT, fields=("title", "keywords", "year", "none"), tokenizer=None
    )
    assert found.indexed_text == "title: Animals | keywords: dogs; noise | year: 1990\nSection\nDogs bark."


def test_a_prefix_takes_at_most_a_quarter_of_the_window() -> None:
    tokenizer = WordTokenizer()
    tokenizer.max_tokens = 12
    (found,) = prefixed([chunk(keywords="dogs")], DOCUMENT, fields=("title", "keywords"), tokenizer=tokenizer)
    assert found.context == "title: Animals\nSection"
    tokenizer.max_tokens = 4
    (found,) = prefixed([chunk()], DOCUMENT, fields=("title",), tokenizer=tokenizer)
    assert found.context == "Section"


# ---- through an ingest


@pytest.fixture
def make(tmp_path: Path) -> Iterator[object]:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "dogs.txt").write_text("Dogs bark at the postman.", encoding="utf-8")
    (folder / "owls.txt").write_text("Owls hoot.", encoding="utf-8")
    opened: list[Pipeline] = []

    def build(represent: str) -> Pipeline:
        overrides = [
            f"ingest.load=[{{use: files, root: {json.dumps(str(folder))}}}]",
            f"ingest.index.path={json.dumps(str(tmp_path / 'index'))}",
            "ingest.embed={use: hash, dimension: 64}",
            "ingest.enrich=[{use: metadata-rules, fields: [{name: keywords, type: list, rule: keywords}]}]",
            f"ingest.represent={represent}",
        ]
        opened.append(Pipeline.from_yaml("hybrid", overrides=overrides))
        return opened[-1]

    yield build
    for pipeline in opened:
        pipeline.close()


def vector_of(pipeline: Pipeline, name: str):
    reader = pipeline.index.reader()
    return reader.vectors(reader.rows_of(reader.chunks_of(name)))[0]


def test_each_condition_makes_another_vector_and_changing_it_indexes_again(make) -> None:
    embed = HashEmbedder(dimension=64).embed_documents
    (text,) = embed(["Owls hoot."])

    content = make("{by: content}")
    content.ingest()
    assert vector_of(content, "owls.txt") == pytest.approx(text)

    prefix = make("{by: prefix, fields: [keywords]}")
    assert prefix.ingest().updated == 2
    assert prefix.index.reader().chunks_of("owls.txt")[0].context == "keywords: hoot; owls"
    assert vector_of(prefix, "owls.txt") == pytest.approx(embed(["keywords: hoot; owls\nOwls hoot."])[0])

    weighted = make("{by: tfidf-weighted, fields: [keywords]}")
    assert weighted.ingest().updated == 2
    hoot, owls = embed(["hoot", "owls"])  # each in one of two chunks: they weigh the same
    blended = 0.7 * text + 0.3 * (hoot + owls) / 2
    assert vector_of(weighted, "owls.txt") == pytest.approx(blended / np.linalg.norm(blended), abs=1e-6)
    assert weighted.index.reader().chunks_of("owls.txt")[0].context == ""


def test_weighted_vectors_cannot_be_made_anew_from_the_texts_alone(make) -> None:
    pipeline = make("{by: tfidf-weighted}")
    pipeline.ingest()
    with pytest.raises(ConfigError, match="rag ingest --force"):
        pipeline.reembed()


def test_weighted_vectors_without_vectors_are_refused() -> None:
    overrides = ["ingest.represent.by=tfidf-weighted", "ingest.index.dense=null", "ask.retrieve=[{use: sparse}]"]
    with pytest.raises(ConfigError, match="'tfidf-weighted' is a way to make vectors"):
        Pipeline.from_yaml("hybrid", overrides=overrides)
