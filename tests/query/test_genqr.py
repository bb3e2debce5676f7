from __future__ import annotations

from rag.models.template import Template
from rag.query.asking import Asker
from rag.query.genqr import INSTRUCTIONS, GenQREnsemble, GenQRFusion, keywords
from rag.testing import ScriptedModel
from rag.types import Query

TEMPLATE = Template.parse("{instruction} {question}", name="t", fields={"question", "instruction"})


def asker(*replies: str) -> tuple[Asker, ScriptedModel]:
    model = ScriptedModel(replies)
    return Asker(model, TEMPLATE, concurrency=1), model


def test_the_ensemble_is_one_query_with_every_keyword_as_often_as_it_was_given() -> None:
    by, model = asker("a, b", "b; c")
    [made] = GenQREnsemble(by, instructions=2).transform([Query(text="q")])
    [query] = made.queries
    assert query.words == "q a b b c"
    assert query.text == "q"  # dense retrieval and reranking go by the question
    assert [messages[0].content for messages in model.asked] == [f"{INSTRUCTIONS[0]} q", f"{INSTRUCTIONS[1]} q"]


def test_fusion_searches_the_question_and_one_query_for_each_instruction() -> None:
    by, _ = asker("a, b", "b; c")
    [made] = GenQRFusion(by, instructions=2).transform([Query(text="q")])
    assert [query.text for query in made.queries] == ["q", "q a b", "q b c"]


def test_empty_and_endless_replies_are_left_out_and_counted() -> None:
    for transform in (GenQREnsemble, GenQRFusion):
        by, _ = asker("...", "x" * 1001, "c")
        [made] = transform(by, instructions=3).transform([Query(text="q")])
        assert made.queries[-1].words == "q c"
        assert made.notes["malformed"] == 2


def test_the_instructions_are_ten_and_differ() -> None:
    assert len(set(INSTRUCTIONS)) == 10


def test_keywords_of_any_script_are_kept() -> None:
    assert keywords("größe, 小猫 / x_y") == "größe 小猫 x y"
