"""Questions that a chunk answers, kept by nearness and indexed by terms alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag import Pipeline
from rag.embed.hash import HashEmbedder
from rag.enrich.base import Cut
from rag.enrich.doc2query import EmbedderScorer
from rag.enrich.specs import Doc2QuerySpec
from rag.enrich.tally import EnrichmentTally
from rag.errors import ConfigError
from rag.index.directory import IndexDirectory
from rag.index.specs import Bm25Spec, IndexSpec
from rag.testing import sample
from rag.types import Chunk, Document, Span

PROMPT = "{count} questions\n---\n{title}: {text}"


class Lettered(HashEmbedder):
    """Texts and questions as unit vectors by hand: a question's first word is its cosine with any text."""

    def embed_documents(self, texts: Sequence[str]):
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))

    def embed_queries(self, texts: Sequence[str]):
        cosines = np.array([float(text.split()[0]) for text in texts])
        return np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)


@pytest.fixture
def enricher(tmp_path: Path, function_model):
    def make(reply: str, **options: object):
        model = function_model(lambda messages: reply)
        with sample(tmp_path, prompts={"doc2query": PROMPT}, llm=model) as made:
            spec = Doc2QuerySpec.model_validate({"concurrency": 1, **options})
            built = spec.build(made.resources)
        built.scorer = EmbedderScorer(Lettered())
        return built, model

    return make


REPLY = json.dumps({"questions": ["0.2 who", "0.9 what", "0.5 when", "0.9 WHAT", "0.4 where", "0.8 why; how"]})


def test_the_share_that_is_nearest_to_the_text_is_kept_nearest_first(enricher, of) -> None:
    made, model = enricher(REPLY, keep=0.5, count=9)
    document, chunks = of("Dogs bark.", title="Animals")
    (chunk,) = made.enrich(chunks, document)
    # five differ, half of them rounded up is three
    assert chunk.meta == {"questions": "0.9 what; 0.8 why, how; 0.5 when"}
    assert (chunk.indexed_text, chunk.id) == ("Dogs bark.", chunks[0].id)
    assert [message.content for message in model.asked[0]] == ["9 questions", "Animals: Dogs bark."]


def test_questions_below_the_least_nearness_are_dropped(enricher, of) -> None:
    made, _ = enricher(REPLY, keep=1.0, least=0.6)
    document, chunks = of("Dogs bark.")
    assert made.enrich(chunks, document)[0].meta["questions"] == "0.9 what; 0.8 why, how"
    none_left, _ = enricher(REPLY, least=0.99)
    assert none_left.enrich(chunks, document) == chunks


def test_a_cross_encoder_may_say_what_fits(enricher, of) -> None:
    class ByLength:
        """The shorter the question, the better it fits."""

        def score(self, pairs: Sequence[tuple[str, str]]):
            assert {text for _, text in pairs} == {"Dogs bark."}
            return np.array([-len(question) for question, _ in pairs], np.float32)

    made, _ = enricher(json.dumps({"questions": ["who barks at night", "who", "what barks"]}), keep=0.6)
    made.scorer = ByLength()
    document, chunks = of("Dogs bark.")
    assert made.enrich(chunks, document)[0].meta["questions"] == "who; what barks"


def test_weights_that_are_not_there_are_named_when_the_pipeline_is_validated() -> None:
    enrich = "ingest.enrich=[{use: doc2query, cross_encoder: nobody/nothing}]"
    with pytest.raises(ConfigError, match=r"nobody/nothing|sentence_transformers"):
        Pipeline.from_yaml("hybrid", overrides=[enrich, "llm={use: given}"])


def test_a_chunk_without_a_usable_reply_stays_as_it_was_and_is_noted(enricher, of) -> None:
    made, model = enricher('{"questions": "what?"}')
    document, chunks = of("Dogs bark.")
    tally = EnrichmentTally()
    assert made.enrich_batch([Cut(document, chunks)], tally) == [chunks]
    assert [failure.chunk_id for failure in tally.failed] == [chunks[0].id]
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ingest.index.sparse=null", "'doc2query'|doc2query"),
        ("ingest.index.sparse={use: bm25, fields: [summary]}", "nothing would search the questions"),
    ],
)
def test_questions_that_nothing_would_search_are_refused(override: str, message: str) -> None:
    common = ["ingest.enrich=[{use: doc2query}]", "llm={use: given}"]
    Pipeline.from_yaml("hybrid", overrides=common).close()
    with pytest.raises(ConfigError, match=message):
        Pipeline.from_yaml("hybrid", overrides=[*common, override])


def indexed(folder: Path, spec: Bm25Spec, meta: dict[str, str]) -> IndexDirectory:
    directory = IndexDirectory(IndexSpec(path=str(folder), sparse=spec))
    document = Document(id="d", text="Dogs bark.")
    chunk = Chunk(span=Span("d", 0, 10), text="Dogs bark.", context="Animals", meta=meta)
    embedder = HashEmbedder()
    with directory.writer(embedder.identity) as writer:
        writer.add(document, [chunk], embedder.embed_documents([chunk.indexed_text]), stamp="", fingerprint="")
        writer.commit()
    return directory


def found(directory: IndexDirectory, query: str) -> int:
    sparse = directory.reader().sparse
    assert sparse is not None
    return len(sparse.search([query], k=5, allowed=None)[0].rows)


def test_the_sparse_index_finds_a_chunk_by_its_questions_and_the_vectors_do_not_know_them(tmp_path: Path) -> None:
    directory = indexed(tmp_path, Bm25Spec(), {"questions": "Which pets are loud?", "summary": "Noise."})
    assert [found(directory, query) for query in ("loud pets", "animals", "dogs", "noise")] == [1, 1, 1, 0]
    embedder = HashEmbedder()
    before = directory.reader().vectors(np.array([0]))
    directory.reembed(embedder.identity, embedder.embed_documents)
    directory.refresh()
    assert np.array_equal(directory.reader().vectors(np.array([0])), before)
    directory.close()


def test_which_fields_are_read_is_part_of_the_index_and_can_be_changed_by_a_rebuild(tmp_path: Path) -> None:
    indexed(tmp_path, Bm25Spec(), {"questions": "Which pets are loud?", "summary": "Noise."}).close()
    other = IndexDirectory(IndexSpec(path=str(tmp_path), sparse=Bm25Spec(fields=("summary",))))
    assert other.spec.sparse is not None
    assert other.manifest().analyzer != other.spec.sparse.analyzer().name
    other.rebuild(dense=False)
    assert [found(other, query) for query in ("loud pets", "noise", "dogs")] == [0, 1, 1]
    assert other.manifest().analyzer == other.spec.sparse.analyzer().name
    other.close()


def test_the_name_of_the_default_terms_is_the_one_older_indexes_hold() -> None:
    assert Bm25Spec().analyzer().name.endswith("/stopwords")
    assert Bm25Spec(fields=()).analyzer().name.endswith("/stopwords/text")
    assert Bm25Spec(fields=("a", "b")).analyzer().name.endswith("/stopwords/a+b")
