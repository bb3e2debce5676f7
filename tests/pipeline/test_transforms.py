"""What a question becomes before retrieval, through the stages after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rag import Components, Pipeline, PipelineSpec, Query, Ranking
from rag.errors import ConfigError
from rag.pipeline.spec import AskSpec
from rag.query.base import Rewritten
from rag.retrieve.rrf import RrfFuser
from rag.testing import ScriptedModel
from rag.types import Chunk, ScoredChunk, Span


class Weighed:
    """The question at weight 2 beside another at weight 1."""

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        return [
            Rewritten((replace(query, weight=2.0), query.rephrased("Penguins cannot fly")), {"malformed": 1})
            for query in queries
        ]


class StandsAlone:
    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        return [Rewritten((query.rephrased("When did the Vasa sink?"),)) for query in queries]


class Listening:
    """A reranker that keeps the questions it is given."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        self.heard += [query.text for query in queries]
        return list(rankings)


def ranking(*names: str, weight: float) -> Ranking:
    chunks = [Chunk(span=Span(name, 0, 1), text="x") for name in names]
    return Ranking(tuple(ScoredChunk(chunk, -float(at), "r") for at, chunk in enumerate(chunks)), weight=weight)


def test_the_weight_of_a_query_multiplies_the_weight_of_each_retriever() -> None:
    rankings = [ranking("a", weight=2), ranking("b", weight=2), ranking("c", weight=1), ranking("d", weight=1)]
    fused = RrfFuser(keep=4, weights=[1.0, 0.5]).fuse(rankings)  # two retrievers, two queries
    scores = {hit.chunk.document_id: hit.score * 61 for hit in fused}
    assert scores == pytest.approx({"a": 2.0, "b": 1.0, "c": 1.0, "d": 0.5})


def test_the_queries_of_a_question_are_fused_and_their_notes_stand_in_the_trace(make) -> None:
    pipeline: Pipeline = make(components=Components(transforms=[Weighed()]))
    pipeline.ingest()
    found = pipeline.search("Do dogs bark at the postman?")
    assert [query.weight for query in found.queries] == [2.0, 1.0]
    assert found.ranking[0].chunk.document_id == "animals.md"
    [record] = [record for record in found.trace.stages if record.stage == "transform"]
    assert (record.taken, record.given, record.notes["malformed"]) == (1, 2, 1)


def test_later_stages_go_by_the_question_as_a_transform_made_it_and_the_answer_by_the_one_asked(make) -> None:
    reranker = Listening()
    pipeline: Pipeline = make(components=Components(transforms=[StandsAlone()], rerankers=[reranker]))
    pipeline.ingest()
    answer = pipeline.ask("And when did it sink?")
    assert reranker.heard == ["When did the Vasa sink?"]
    assert answer.query == "And when did it sink?"


def test_paraphrases_by_a_model_named_in_the_file_are_searched(make) -> None:
    model = ScriptedModel(['{"queries": ["Penguins cannot fly"]}'])
    pipeline: Pipeline = make(
        "llm={use: given}", "ask.transform=[{use: multi-query}]", components=Components(llm=model)
    )
    pipeline.ingest()
    found = pipeline.search("Which birds stay on the ground?")
    assert [query.text for query in found.queries] == ["Which birds stay on the ground?", "Penguins cannot fly"]
    assert "Penguins" in found.ranking[0].chunk.text


def test_a_transform_that_asks_a_model_is_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="'multi-query' asks a language model"):
        PipelineSpec.from_yaml("ask: {transform: [{use: multi-query}]}", environ={})


def test_a_fuser_for_one_ranking_is_refused_beside_a_transform_that_makes_several() -> None:
    common = "llm: {use: given}\nask:\n  retrieve: [{use: dense}]\n  fuse: {use: single}\n  transform: "
    with pytest.raises(ConfigError, match="'multi-query' makes several"):
        PipelineSpec.from_yaml(common + "[{use: multi-query}]\n", environ={})
    spec = PipelineSpec.from_yaml(common + "[{use: hyde}]\n", environ={})
    assert isinstance(spec.ask, AskSpec)


def test_a_transform_for_a_kind_of_retrieval_that_is_not_there_is_refused() -> None:
    sparse = "llm: {use: given}\nask: {retrieve: [{use: sparse}], transform: [{use: hyde}]}"
    with pytest.raises(ConfigError, match="'hyde' changes what dense retrieval searches for"):
        PipelineSpec.from_yaml(sparse, environ={})
    dense = "llm: {use: given}\nask: {retrieve: [{use: vector-prf}], transform: [{use: genqr-ensemble}]}"
    with pytest.raises(ConfigError, match="'genqr-ensemble' changes what sparse retrieval searches for"):
        PipelineSpec.from_yaml(dense, environ={})
    routed = "{use: routed, search: dense, sources: {a: {description: x}}}"  # may well be dense: not known to be sparse
    PipelineSpec.from_yaml(
        f"llm: {{use: given}}\nask: {{retrieve: [{routed}], transform: [{{use: hyde}}]}}", environ={}
    )
