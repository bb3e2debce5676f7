"""LangChain's objects as stages, and the pipeline behind LangChain's interfaces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from rag import Answer, Components, Pipeline, Query, parse_filter
from rag.embed.hash import HashEmbedder
from rag.embed.pieces import PieceTokenizer
from rag.errors import ConfigError, IndexMismatchError, UnknownNameError
from rag.integrations.langchain import (
    as_retriever,
    as_runnable,
    fill_vectorstore,
    from_chat_model,
    from_embeddings,
    from_vectorstore,
)
from rag.testing.sample import Sample, sample

HASH = "ingest.embed={use: hash, dimension: 256}"
WRITTEN = {
    "dogs.md": "# Dogs\n\nDogs bark at night.\n",
    "owls.md": "# Owls\n\nOwls hoot after dark.\n",
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in WRITTEN.items():
        (docs / name).write_text(text, encoding="utf-8")
    with Pipeline.from_yaml("hybrid", overrides=["ingest.load=[{use: files, root: docs}]", HASH]) as opened:
        opened.ingest()
        yield opened


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Sample]:
    with sample(tmp_path) as made:
        yield made


class HashEmbeddings(Embeddings):
    """Twice the length it should have, so that bringing it to unit length shows."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[2.0 * float(x) for x in row] for row in HashEmbedder(dimension=256).embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class ScoredStore(VectorStore):
    """Gives what it was made with, in that order."""

    def __init__(self, found: Sequence[tuple[LangChainDocument, float]]) -> None:
        self.found = list(found)

    def similarity_search(self, query: str, k: int = 4, **_: object) -> list[LangChainDocument]:
        return [document for document, _ in self.found[:k]]

    def similarity_search_with_score(self, query: str, k: int = 4) -> list[tuple[LangChainDocument, float]]:
        return self.found[:k]

    @classmethod
    def from_texts(cls, *_: object, **__: object) -> ScoredStore:
        raise NotImplementedError


def stored(collection: Sample, at: int, score: float) -> tuple[LangChainDocument, float]:
    span = collection.chunks[at].span
    address = {"document_id": span.document_id, "start": span.start, "end": span.end}
    return LangChainDocument(page_content="text", metadata=address), score


# ---- ours to theirs


def test_the_retriever_gives_documents_whose_offsets_lead_to_their_text(pipeline: Pipeline) -> None:
    (found,) = as_retriever(pipeline, k=1).invoke("Do dogs bark?")
    assert found.page_content == WRITTEN["dogs.md"][found.metadata["start"] : found.metadata["end"]]
    assert "Dogs bark at night." in found.page_content
    assert found.metadata["document_id"] == "dogs.md"
    assert found.id is not None
    assert found.id.startswith("dogs.md#")


def test_the_runnable_answers_one_several_and_asynchronously(pipeline: Pipeline) -> None:
    runnable = as_runnable(pipeline)
    one = runnable.invoke("When do dogs bark?")
    assert isinstance(one, Answer)
    assert one.text == "Dogs bark at night. [1]"
    assert asyncio.run(runnable.ainvoke("When do dogs bark?")) == one
    many = runnable.batch(["When do dogs bark?", "When do owls hoot?"])
    assert [answer.text for answer in many] == ["Dogs bark at night. [1]", "Owls hoot after dark. [1]"]


def test_the_runnable_is_a_link_of_a_chain(pipeline: Pipeline) -> None:
    def text(answer: Answer) -> str:
        return answer.text.upper()

    chain = as_runnable(pipeline) | RunnableLambda(text)
    assert chain.invoke("When do dogs bark?") == "DOGS BARK AT NIGHT. [1]"


# ---- theirs to ours


def test_foreign_embeddings_index_and_retrieve_as_unit_vectors(pipeline: Pipeline) -> None:
    embedder = from_embeddings(HashEmbeddings(), name="hash-by-langchain")
    vectors = embedder.embed_documents(["dogs", "owls at night"])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    assert embedder.identity.dimension == 256
    own = ["ingest.load=[{use: files, root: docs}]", "ingest.index.path=own"]
    with Pipeline.from_yaml("dense", overrides=own, components=Components(embedder=embedder)) as theirs:
        assert theirs.ingest().embedded == 2
        assert theirs.search("dogs bark").ranking[0].chunk.document_id == "dogs.md"


def test_an_index_made_with_foreign_embeddings_refuses_another_name(pipeline: Pipeline) -> None:
    mine = ["ingest.load=[{use: files, root: docs}]"]
    components = Components(embedder=from_embeddings(HashEmbeddings(), name="another"))
    with (
        Pipeline.from_yaml("hybrid", overrides=mine, components=components) as other,
        pytest.raises(IndexMismatchError),
    ):
        other.search("dogs")


def test_pieces_of_words_outnumber_what_subword_tokenizers_make() -> None:
    pieces = PieceTokenizer(512)
    text = "Unbelievable, 小猫!"
    assert [text[start:end] for start, end in pieces.offsets(text)] == ["Unbe", "liev", "able", ",", "小", "猫", "!"]
    assert pieces.count([text, ""]) == [7, 0]


def test_a_chat_model_writes_the_answer_from_the_numbered_sources(pipeline: Pipeline) -> None:
    components = Components(generator=from_chat_model(FakeListChatModel(responses=["At night. [1] Always. [7]"])))
    with Pipeline(pipeline.spec, components) as chatting:
        answer = chatting.ask("When do dogs bark?")
    assert answer.mode == "generated"
    assert answer.text.startswith("At night. [1]")
    assert answer.dropped_citations == 1  # there is no seventh source
    assert answer.evidence[0].span.document_id == "dogs.md"


def test_a_chat_model_can_stream(pipeline: Pipeline) -> None:
    components = Components(generator=from_chat_model(FakeListChatModel(responses=["At night. [1]"])))
    with Pipeline(pipeline.spec, components) as chatting:
        pieces = [event.text for event in chatting.stream(["When do dogs bark?"]) if type(event).__name__ == "Wrote"]
    assert len(pieces) > 1
    assert "".join(pieces) == "At night. [1]"


def test_a_prompt_that_is_not_there_is_refused_when_the_generator_is_made() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'answer'"):
        from_chat_model(FakeListChatModel(responses=[]), prompt="anwser")


def test_a_vector_store_filled_from_the_index_retrieves_its_chunks(collection: Sample) -> None:
    store = InMemoryVectorStore(HashEmbeddings())
    assert fill_vectorstore(store, collection.resources.index, batch=2) == len(collection.chunks)
    (ranking,) = from_vectorstore(store, collection.resources.index, k=3).retrieve([Query(text="dogs bark at night")])
    assert len(ranking) == 3
    best = ranking[0].chunk
    assert best.text == "Dogs bark at night. Cats meow at dawn."
    assert best.id in {chunk.id for chunk in collection.chunks}


@pytest.mark.parametrize(
    ("scores", "expected"), [((0.9, 0.4), (0.9, 0.4)), ((0.1, 0.7), (-0.1, -0.7))], ids=["similarity", "distance"]
)
def test_a_store_may_score_by_similarity_or_by_distance(
    collection: Sample, scores: tuple[float, float], expected: tuple[float, float]
) -> None:
    store = ScoredStore([stored(collection, 2, scores[0]), stored(collection, 0, scores[1])])
    (ranking,) = from_vectorstore(store, collection.resources.index).retrieve([Query(text="owls")])
    assert [hit.score for hit in ranking] == list(expected)
    assert [hit.chunk.id for hit in ranking] == [collection.chunks[2].id, collection.chunks[0].id]


def test_a_vector_store_never_answers_a_query_with_a_filter_or_principals(collection: Sample) -> None:
    retriever = from_vectorstore(ScoredStore([]), collection.resources.index)
    for query in (
        Query(text="owls", filter=parse_filter('lang = "en"')),
        Query(text="owls", principals=frozenset({"staff"})),
        Query(text="owls", principals=frozenset()),
    ):
        with pytest.raises(ConfigError, match="filters and access lists"):
            retriever.retrieve([query])


def test_a_vector_store_with_foreign_texts_is_an_error_that_says_how_to_fill_it(collection: Sample) -> None:
    store = ScoredStore([(LangChainDocument(page_content="whatever", metadata={}), 0.5)])
    with pytest.raises(ConfigError, match="fill_vectorstore"):
        from_vectorstore(store, collection.resources.index).retrieve([Query(text="owls")])
