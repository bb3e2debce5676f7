"""Evaluating and explaining a pipeline that retrieves in mid-answer."""

from __future__ import annotations

from rag.evaluate.ask import in_rounds
from rag.evaluate.explain import explain
from rag.types import Chunk, Ranking, ScoredChunk, Span


def hit(name: str, score: float) -> ScoredChunk:
    return ScoredChunk(Chunk(span=Span(name, 0, 1), text=name), score, "o")


def test_what_later_retrievals_add_stands_behind_the_first_ranking() -> None:
    first, second = Ranking((hit("a", 3.0), hit("b", 1.0))), Ranking((hit("c", 9.0), hit("a", 8.0), hit("d", 7.0)))
    joined = in_rounds([first, second])
    assert [(each.chunk.text, each.score) for each in joined] == [("a", 3.0), ("b", 1.0), ("c", 9.0), ("d", 7.0)]
    assert in_rounds([first]) is first
    assert in_rounds([]) == Ranking()


def test_an_explanation_is_of_one_retrieval(make) -> None:
    pipeline = make("ask.dynamic={trigger: {use: iter-retgen}}", "ask.generate={use: extractive, threshold: 0}")
    pipeline.ingest()
    explanation = explain(pipeline, "When did the Vasa sink?", answers=True)
    assert [step.stage for step in explanation.steps].count("fuse") == 1
    assert explanation.answer
