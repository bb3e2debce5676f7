"""Where the token vectors of candidates come from: encoded on the way, or kept by an ingest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.embed.hash import HashEmbedder
from rag.errors import IndexMismatchError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.index.token_codes import best_matches_of_codes, coded
from rag.models.token_encoder import EmbedderTokenEncoder, TokenVectors, best_matches
from rag.rerank.specs import LateInteractionSpec, TrainedSpec
from rag.rerank.token_matches import EncodedMatches, StoredMatches
from rag.testing import Sample, SampleResources, check_reranker, sample
from rag.testing.sample import paragraphs
from rag.types import Chunk, Document, Query, Ranking, ScoredChunk

STORED = LateInteractionSpec(stored=True, keep=3, weight=None, match=None)


@pytest.fixture
def indexed(tmp_path: Path) -> Sample:
    with sample(tmp_path / "sample") as made:
        yield made


class Counting(EmbedderTokenEncoder):
    def __init__(self, embedder: HashEmbedder) -> None:
        super().__init__(embedder)
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        self.encoded += texts
        return super().encode_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return super().encode_documents(texts)


def counting(indexed: Sample) -> Counting:
    """The sample's encoder from now on."""
    encoder = Counting(indexed.resources.embedder)  # type: ignore[arg-type]  # the sample's is one that hashes
    indexed.resources.objects[STORED.encoder_key] = encoder
    return encoder


def given(chunks: Sequence[Chunk]) -> Ranking:
    return Ranking(tuple(ScoredChunk(chunk, 1.0 - at / 100, "first") for at, chunk in enumerate(chunks)))


def test_codes_match_a_query_as_the_vectors_they_stand_for() -> None:
    documents = [np.array(rows, np.float32).reshape(-1, 2) for rows in ([[1, 0], [0, 1]], [], [[0.6, 0.8]])]
    query = np.array([[1, 0], [0.6, 0.8], [0, -1]], np.float32)
    found = best_matches_of_codes(query, [coded(document) for document in documents])
    # 0.6 of 0.8 is 95.25 of 127 steps, so 95; by hand from the vectors: 1, 0.8, 0 and 0.6, 1, -0.8.
    assert found[[0, 2]] == pytest.approx(np.array([[1, 0.8, 0], [0.6, 1, -0.8]]), abs=0.002)
    assert np.isnan(found[1]).all()
    assert best_matches_of_codes(query[:0], [coded(documents[0])]).shape == (1, 0)
    assert best_matches_of_codes(query, []).shape == (0, 3)


def test_matches_that_are_stored_are_those_of_the_encoder(indexed: Sample) -> None:
    STORED.prepare(indexed.resources)
    encoder = EmbedderTokenEncoder(indexed.resources.embedder)
    [question] = encoder.encode_queries(["dogs bark at night"])
    found = STORED.matches(indexed.resources).of(question, indexed.chunks)
    texts = [chunk.indexed_text for chunk in indexed.chunks]
    assert found == pytest.approx(best_matches(question, encoder.encode_documents(texts)), abs=0.01)
    assert found == pytest.approx(EncodedMatches(encoder).of(question, indexed.chunks), abs=0.01)


def test_a_reranker_with_stored_vectors_keeps_the_contract_and_encodes_no_chunk(indexed: Sample) -> None:
    STORED.prepare(indexed.resources)
    encoder = counting(indexed)
    check_reranker(STORED.build(indexed.resources), chunks=indexed.chunks, keep=3)
    assert encoder.encoded == []


def test_an_index_without_token_vectors_is_an_error_that_says_what_makes_them(indexed: Sample) -> None:
    encoder = counting(indexed)
    reranker = STORED.build(indexed.resources)
    with pytest.raises(IndexMismatchError, match=rf"{len(indexed.chunks)} of {len(indexed.chunks)} chunks") as raised:
        reranker.rerank([Query(text="dogs")], [given(indexed.chunks)])
    assert "rag ingest" in raised.value.hint
    assert encoder.encoded == []


def test_only_new_chunks_are_encoded_and_until_then_the_newer_generation_is_refused(tmp_path: Path) -> None:
    embedder = HashEmbedder(dimension=64)
    resources = SampleResources(embedder, IndexDirectory(IndexSpec(path=str(tmp_path / "index"))), {})
    encoder = Counting(embedder)
    resources.objects[STORED.encoder_key] = encoder
    reranker = STORED.build(resources)

    def put(name: str) -> list[Chunk]:
        document = Document(id=name, text=f"rain in {name}")
        chunks = paragraphs(document)
        with resources.index.writer(embedder.identity) as writer:
            vectors = embedder.embed_documents([chunk.text for chunk in chunks])
            writer.add(document, chunks, vectors, stamp="", fingerprint="")
            writer.commit()
        resources.index.refresh()
        return list(chunks)

    chunks = put("one")
    STORED.prepare(resources)
    reranker.rerank([Query(text="rain")], [given(chunks * 2)])
    chunks += put("two")
    with pytest.raises(IndexMismatchError, match="1 of 2 chunks"):
        reranker.rerank([Query(text="rain")], [given(chunks)])
    STORED.prepare(resources)
    [after] = reranker.rerank([Query(text="rain in two")], [given(chunks)])
    assert encoder.encoded == ["rain in one", "rain in two"]
    assert after[0].chunk.document_id == "two"


def test_of_a_chunk_that_the_index_no_longer_has_nothing_can_be_told(indexed: Sample) -> None:
    STORED.prepare(indexed.resources)
    matches = STORED.matches(indexed.resources)
    assert isinstance(matches, StoredMatches)
    gone = replace(indexed.chunks[0], span=replace(indexed.chunks[0].span, document_id="gone.md"))
    [question] = matches.questions(["dogs"])
    found = matches.of(question, [gone, indexed.chunks[1]])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_an_empty_index_has_nothing_to_prepare(tmp_path: Path) -> None:
    index = IndexDirectory(IndexSpec(path=str(tmp_path / "index")))
    embedder = HashEmbedder(dimension=64)
    with index.writer(embedder.identity):
        pass
    for spec in (STORED, TrainedSpec(head="minilm-reranker", stored=True)):
        spec.prepare(SampleResources(embedder, index, {}))
    assert not (tmp_path / "index" / "multivector").exists()


def test_what_is_not_asked_for_is_not_made(indexed: Sample) -> None:
    LateInteractionSpec().prepare(indexed.resources)
    TrainedSpec(head="minilm-reranker").prepare(indexed.resources)
    assert not (indexed.resources.index.path / "multivector").exists()
