"""Questions through all stages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rag import (
    Answer,
    Answered,
    Cited,
    Components,
    Compressed,
    Pipeline,
    Query,
    Ranking,
    Retrieved,
    Wrote,
    parse_filter,
)
from rag.errors import IndexMismatchError, IndexNotFoundError

QUESTIONS = ["Do dogs bark at the postman?", "When did the Vasa sink?", "Which city has the largest harbour, Hafen?"]


@pytest.fixture
def pipeline(make) -> Pipeline:
    pipeline = make("ask.generate={use: extractive, threshold: 0}")
    pipeline.ingest()
    return pipeline


def assert_exact(pipeline: Pipeline, answer: Answer) -> None:
    reader = pipeline.index.reader()
    assert answer.evidence
    for evidence in answer.evidence:
        text = reader.document(evidence.span.document_id).text
        assert text[evidence.span.start : evidence.span.end] == evidence.text
    for citation in answer.citations:
        assert 0 <= citation.start < citation.end <= len(answer.text)
        assert len(citation.evidence) == len(citation.spans)
        for number, span in zip(citation.evidence, citation.spans, strict=True):
            held = answer.evidence[number - 1].span
            assert held.document_id == span.document_id
            assert held.start <= span.start < span.end <= held.end


def test_an_answer_quotes_the_source_and_cites_its_exact_characters(pipeline: Pipeline) -> None:
    answer = pipeline.ask("Do dogs bark at the postman?")
    assert "Dogs bark at the postman." in answer.text
    assert answer.mode == "extractive"
    assert_exact(pipeline, answer)
    citation = answer.citations[0]
    span = citation.spans[0]
    text = pipeline.index.reader().document(span.document_id).text
    assert text[span.start : span.end] == "Dogs bark at the postman."
    assert str(pipeline.locate(span)) == "line 3"


def test_offsets_hold_in_a_document_with_carriage_returns_umlauts_and_emoji(pipeline: Pipeline) -> None:
    for question in ("When was the Vasa raised?", "Was führt unter dem Fluss hindurch?"):
        assert_exact(pipeline, pipeline.ask(question))


def test_many_questions_at_once_get_the_answers_they_get_alone(pipeline: Pipeline) -> None:
    assert pipeline.ask_many(QUESTIONS) == [pipeline.ask(question) for question in QUESTIONS]


def test_no_questions_get_no_answers(pipeline: Pipeline) -> None:
    assert pipeline.ask_many([]) == []


def test_a_stream_retrieves_then_compresses_then_writes_then_answers(pipeline: Pipeline) -> None:
    events = list(pipeline.stream(["When did the Vasa sink?"]))
    kinds = [type(event) for event in events]
    assert kinds[0] is Retrieved
    assert kinds[1] is Compressed
    assert set(kinds[2:-1]) == {Wrote, Cited}
    assert isinstance(events[-1], Answered)
    assert events[-1].answer == pipeline.ask("When did the Vasa sink?")


def test_the_trace_names_every_stage_with_its_counts(pipeline: Pipeline) -> None:
    trace = pipeline.ask("When did the Vasa sink?").trace
    assert [record.stage for record in trace.stages] == ["retrieve", "retrieve", "fuse", "compress", "generate", "cite"]
    assert [record.use for record in trace.stages] == ["dense", "sparse", "zscore", "none", "extractive", "checked"]
    dense, sparse, fuse = trace.stages[:3]
    assert fuse.taken == dense.given + sparse.given
    # Backgrounds hold the scores of all chunks: who keeps an answer does not keep them.
    assert all(ranking.background is None for record in trace.stages for ranking in record.rankings)
    assert trace.seconds == pytest.approx(sum(record.seconds for record in trace.stages))


def test_one_text_is_not_taken_for_several_questions(pipeline: Pipeline) -> None:
    with pytest.raises(TypeError, match="put it into a list"):
        pipeline.ask_many("When did the Vasa sink?")
    with pytest.raises(TypeError, match="put it into a list"):
        next(iter(pipeline.stream("When did the Vasa sink?")))


def test_async_twins_give_the_same(pipeline: Pipeline) -> None:
    async def both() -> tuple[Answer, list[Answer], list[object], Ranking]:
        events = [event async for event in pipeline.aio.stream(QUESTIONS[:1])]
        return (
            await pipeline.aio.ask(QUESTIONS[0]),
            await pipeline.aio.ask_many(QUESTIONS),
            events,
            (await pipeline.aio.search(QUESTIONS[0])).ranking,
        )

    one, many, events, ranking = asyncio.run(both())
    assert one == pipeline.ask(QUESTIONS[0])
    assert many == pipeline.ask_many(QUESTIONS)
    assert isinstance(events[-1], Answered)
    assert events[-1].answer == one
    assert ranking.hits == pipeline.search(QUESTIONS[0]).ranking.hits


def test_a_cancelled_async_stream_closes_the_generator(pipeline: Pipeline) -> None:
    async def first_only() -> object:
        stream = pipeline.aio.stream(QUESTIONS)
        async for event in stream:
            await stream.aclose()
            return event
        return None

    assert isinstance(asyncio.run(first_only()), Retrieved)


def test_a_filter_narrows_every_retriever(pipeline: Pipeline) -> None:
    found = pipeline.search("bark hunts sank", filter=parse_filter('suffix = ".txt"'))
    assert {hit.chunk.document_id for hit in found.ranking} == {"ships.txt"}


def test_with_principals_documents_without_an_access_list_are_not_seen(pipeline: Pipeline) -> None:
    answer = pipeline.ask("Do dogs bark?", principals=frozenset({"anyone"}))
    assert answer.abstained
    assert answer.evidence == ()


def test_an_object_takes_the_place_of_a_stage_and_is_named_by_its_class_in_the_trace(make) -> None:
    class Backwards:
        def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
            return [Ranking.of([replace(hit, score=-hit.score) for hit in ranking]) for ranking in rankings]

    pipeline = make(components=Components(rerankers=[Backwards()]))
    pipeline.ingest()
    result = pipeline.search("Do dogs bark?")
    fused = next(record for record in result.trace.stages if record.stage == "fuse")
    assert [hit.chunk.id for hit in result.ranking] == [hit.chunk.id for hit in reversed(fused.rankings[0].hits)]
    assert result.trace.stages[-1].use == "Backwards"


def test_asking_without_an_index_says_so(make) -> None:
    with pytest.raises(IndexNotFoundError):
        make().ask("Do dogs bark?")


def test_an_index_of_another_model_is_refused_and_reembedding_mends_it(make) -> None:
    make().ingest()
    other = make("ingest.embed={use: hash, dimension: 256}")
    with pytest.raises(IndexMismatchError, match="256"):
        other.ask("Do dogs bark?")
    report = other.reembed()
    assert report.embedded == report.chunks > 0
    assert "Dogs bark" in other.search("Do dogs bark?").ranking[0].chunk.text


def test_a_new_generation_is_seen_after_refresh_and_not_before(make, corpus) -> None:
    reader, writer = make(), make()
    writer.ingest()
    before = reader.search("zebra stripes")
    (corpus / "zebra.txt").write_text("A zebra has stripes.", encoding="utf-8")
    writer.ingest()
    assert reader.search("zebra stripes").ranking.hits == before.ranking.hits
    assert reader.refresh()
    assert reader.search("zebra stripes").ranking[0].chunk.document_id == "zebra.txt"
