from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from rag.compress.nearness import chunk_nearness, fitting, sentence_vectors
from rag.compress.specs import HybridSpec, SentencesSpec
from rag.testing import Sample
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span


@dataclass
class Words:
    """A token is a word."""

    max_tokens: int

    def offsets(self, text: str) -> list[tuple[int, int]]:
        ends = np.cumsum([len(word) + 1 for word in text.split()]).tolist()
        return [(end - 1 - len(word), end - 1) for end, word in zip(ends, text.split(), strict=True)]

    def count(self, texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def stretch(indexed: Sample, name: str) -> Chunk:
    text = indexed.documents[name].text
    return Chunk(span=Span(name, 0, len(text)), text=text)


def test_a_text_longer_than_the_window_counts_by_its_beginning() -> None:
    assert fitting(["one two three", "four five"], Words(max_tokens=2)) == ["one two", "four five"]  # type: ignore[arg-type]


def test_a_chunk_is_as_near_as_its_vector_in_the_index(indexed: Sample) -> None:
    embedder = indexed.resources.embedder
    question = embedder.embed_queries(["Cows sleep"])[0]
    reader = indexed.resources.index.reader()
    expected = sentence_vectors([chunk.text for chunk in indexed.chunks], embedder) @ question
    assert chunk_nearness(question, indexed.chunks, reader, embedder) == pytest.approx(expected, abs=1e-6)


def test_a_stretch_of_several_chunks_is_as_near_as_the_nearest_of_them(indexed: Sample) -> None:
    embedder = indexed.resources.embedder
    question = embedder.embed_queries(["Cows sleep"])[0]
    reader = indexed.resources.index.reader()
    farm = [chunk for chunk in indexed.chunks if chunk.document_id == "farm.md"]
    apart = chunk_nearness(question, farm, reader, embedder)
    assert apart[0] > apart[1]
    both = chunk_nearness(question, [stretch(indexed, "farm.md"), farm[1]], reader, embedder)
    assert both == pytest.approx(apart)


def test_a_stretch_that_overlaps_no_chunk_is_not_near(indexed: Sample) -> None:
    embedder = indexed.resources.embedder
    question = embedder.embed_queries(["Cows sleep"])[0]
    unknown = Chunk(span=Span("nowhere.md", 0, 10), text="Cows sleep")
    assert chunk_nearness(question, [unknown], indexed.resources.index.reader(), embedder).tolist() == [0.0]


@pytest.mark.parametrize("spec", [SentencesSpec(tokens=2), HybridSpec(tokens=2)], ids=lambda spec: spec.use)
def test_sentences_of_expanded_chunks_are_kept(spec: SentencesSpec | HybridSpec, indexed: Sample) -> None:
    ranking = Ranking((ScoredChunk(stretch(indexed, "farm.md"), 1.0, "parent"),))
    [compression] = spec.build(indexed.resources).compress([Query(text="Cows sleep")], [ranking])
    assert [part.text for part in compression.evidence] == ["Cows sleep."]
