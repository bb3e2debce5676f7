"""CRAG: grading, refining, looking elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rag.models.template import Template
from rag.testing import ScriptedModel, check_trigger
from rag.trigger.asking import Asker
from rag.trigger.base import Found
from rag.trigger.crag import Crag, verdict
from rag.trigger.evaluators import CrossEncoded, GivenScores, Grades, Prompted
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span

POPQA = {"upper": 0.592, "lower": -0.995}
TEXT = "Dogs bark. Cats meow. Owls hoot. Fish swim. Bees hum."


def hit(text: str, score: float, document: str = "d") -> ScoredChunk:
    return ScoredChunk(Chunk(span=Span(document, 100, 100 + len(text)), text=text), score, "given")


def found(*hits: ScoredChunk, elsewhere: bool = False) -> Found:
    return Found(query=Query(text="What do dogs do?"), ranking=Ranking.of(hits), round=1, elsewhere=elsewhere)


class ByWord:
    """Grades by the first word of a text."""

    def __init__(self, grades: Mapping[str, float]) -> None:
        self.grades = grades

    def grade(self, question: str, hits: Sequence[ScoredChunk]) -> Grades:
        return Grades(tuple(self.grades[hit.chunk.text.split()[0]] for hit in hits), {"requests": len(hits)})


@pytest.mark.parametrize(
    ("scores", "said"),
    [([0.6, -1.0], "correct"), ([0.1, -1.0], "ambiguous"), ([-0.996], "incorrect"), ([], "incorrect")],
)
def test_the_published_thresholds_give_the_published_verdicts(scores: list[float], said: str) -> None:
    assert verdict(scores, **POPQA) == said


def test_a_correct_ranking_is_kept_and_nothing_more_is_retrieved() -> None:
    decision = Crag(GivenScores(), **POPQA, strips=0).decide(found(hit("Dogs bark.", 0.6)))
    assert (decision.retrieve, decision.why, decision.found) == (False, "correct", None)


def test_an_ambiguous_ranking_is_kept_and_looked_for_elsewhere_too() -> None:
    decision = Crag(GivenScores(), **POPQA, strips=0).decide(found(hit("Dogs bark.", 0.1)))
    assert (decision.retrieve, decision.elsewhere, decision.found) == (True, True, None)


def test_nothing_is_left_of_an_incorrect_ranking() -> None:
    decision = Crag(GivenScores(), **POPQA, strips=0).decide(found(hit("Dogs bark.", -0.996)))
    assert (decision.retrieve, decision.elsewhere, decision.found) == (True, True, Ranking())


def test_refining_keeps_the_best_strips_with_their_exact_spans() -> None:
    grades = {"Dogs": 1.0, "Cats": 0.9, "Owls": -0.5, "Fish": -0.6, "Bees": 0.7}
    crag = Crag(ByWord(grades), **POPQA, strips=3, strip_sentences=1)
    decision = crag.decide(found(hit(TEXT, 0.0)))
    assert decision.found is not None
    assert [(part.chunk.text, part.score) for part in decision.found] == [
        ("Dogs bark.", 1.0),
        ("Cats meow.", 0.9),
        ("Bees hum.", 0.7),
    ]
    for part in decision.found:
        start = part.chunk.span.start - 100
        assert TEXT[start : start + len(part.chunk.text)] == part.chunk.text
    assert decision.numbers["requests"] == 1 + 5
    assert decision.numbers["strips"] == 5


def test_a_strip_has_so_many_sentences() -> None:
    crag = Crag(ByWord({"Dogs": 1.0, "Fish": 0.0}), **POPQA, strips=1, strip_sentences=3)
    decision = crag.decide(found(hit(TEXT, 0.0)))
    assert decision.found is not None
    assert [part.chunk.text for part in decision.found] == ["Dogs bark. Cats meow. Owls hoot."]


def test_a_strip_that_two_overlapping_chunks_share_is_kept_once() -> None:
    whole = hit("Dogs bark. Cats meow.", 0.9)
    end = ScoredChunk(Chunk(span=Span("d", 111, 121), text="Cats meow."), 0.8, "given")
    crag = Crag(ByWord({"Dogs": 1.0, "Cats": 0.9}), **POPQA, strips=3, strip_sentences=1)
    decision = crag.decide(found(whole, end))
    assert decision.found is not None
    assert [part.chunk.text for part in decision.found] == ["Dogs bark.", "Cats meow."]


def test_what_came_from_elsewhere_is_refined_and_not_graded_again() -> None:
    crag = Crag(ByWord({"Dogs": -1.0}), **POPQA, strips=3, strip_sentences=9)
    decision = crag.decide(found(hit(TEXT, 0.0), elsewhere=True))
    assert not decision.retrieve
    assert decision.found is not None
    assert len(decision.found) == 1


def test_no_more_passages_than_asked_for_are_graded() -> None:
    evaluator = ByWord({"Dogs": 1.0, "Cats": 1.0})
    crag = Crag(evaluator, **POPQA, depth=1, strips=0)
    decision = crag.decide(found(hit("Dogs bark.", 2.0, "a"), hit("Cats meow.", 1.0, "b")))
    assert decision.numbers["requests"] == 1


def prompted(*replies: str) -> tuple[Prompted, ScriptedModel]:
    template = Template.parse("{question} {passage}", name="t", fields={"question", "passage"})
    model = ScriptedModel(replies)
    return Prompted(Asker(model, template, {"verdict": {"type": "string"}}, concurrency=1)), model


def test_a_language_model_grades_in_words_and_an_unreadable_reply_is_ambiguous_and_counted() -> None:
    evaluator, model = prompted('{"verdict": "correct"}', '{"verdict": "incorrect"}', "hm", '{"verdict": "maybe"}')
    grades = evaluator.grade("q", [hit(text, 0.0) for text in ("a", "b", "c", "d")])
    assert grades.scores == (1.0, -1.0, 0.0, 0.0)
    assert grades.notes["malformed"] == 2
    assert grades.notes["requests"] == 4
    assert model.asked[0][0].content == "q a"


def test_a_cross_encoder_grades_question_and_passage() -> None:
    class Scorer:
        def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
            self.pairs = list(pairs)
            return np.array([3.0, -2.0], np.float32)

    scorer = Scorer()
    assert CrossEncoded(scorer).grade("q", [hit("a", 0), hit("b", 0)]).scores == (3.0, -2.0)  # type: ignore[arg-type]
    assert scorer.pairs == [("q", "a"), ("q", "b")]


@pytest.mark.parametrize("strips", [0, 4])
def test_crag_keeps_the_contract_of_triggers(strips: int) -> None:
    check_trigger(Crag(GivenScores(), upper=0.95, lower=0.5, strips=strips))
    check_trigger(Crag(GivenScores(), upper=9, lower=8, strips=strips))
