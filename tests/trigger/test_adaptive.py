"""Adaptive-RAG: classes, labels and what they lead to."""

from __future__ import annotations

import pytest

from rag.errors import BackendError
from rag.models.template import Template
from rag.testing import ScriptedModel, check_trigger
from rag.trigger.adaptive import Adaptive, Prompted, by_rules, label
from rag.trigger.asking import Asker
from rag.trigger.base import Asked, Finished
from rag.trigger.iter_retgen import IterRetGen
from rag.types import Query


def asked(question: str) -> Asked:
    return Asked(query=Query(text=question))


def finished(question: str) -> Finished:
    return Finished(query=Query(text=question), draft="An answer.", evidence=(), round=1)


@pytest.mark.parametrize(
    ("question", "need"),
    [
        ("Who is older, Ann Lee or Bo Ek?", "multi"),
        ("Are Random House Tower and 888 7th Avenue both used for real estate?", "multi"),
        ("What is the capital of the country that hosted the 1992 games?", "multi"),
        ("Who is the mother of the director of Alien?", "multi"),
        ("When was the Vasa raised?", "single"),
        ("How many days of annual leave are there?", "single"),
        ("What is Python?", "none"),
    ],
)
def test_the_rules_tell_chains_and_comparisons_from_simple_questions(question: str, need: str) -> None:
    assert by_rules(question)[0] == need


def test_a_simple_question_is_retrieved_for_once_and_a_multi_hop_question_as_another_trigger_says() -> None:
    adaptive = Adaptive(by_rules, IterRetGen(rounds=2))
    simple, chained = "When was the Vasa raised?", "Who is older, Ann Lee or Bo Ek?"
    assert adaptive.decide(asked(simple)).retrieve
    assert not adaptive.decide(finished(simple)).retrieve
    assert adaptive.decide(asked(chained)).retrieve
    assert adaptive.decide(finished(chained)).retrieve


def test_a_question_is_answered_without_retrieval_only_where_that_is_allowed() -> None:
    assert Adaptive(by_rules, IterRetGen()).decide(asked("What is Python?")).retrieve
    assert not Adaptive(by_rules, IterRetGen(), parametric=True).decide(asked("What is Python?")).retrieve


@pytest.mark.parametrize(
    ("right", "multi_hop", "expected"),
    [
        ({"none": False, "single": True, "multi": True}, True, "single"),
        ({"none": True, "single": True, "multi": True}, False, "none"),
        ({"none": False, "single": False, "multi": True}, False, "multi"),
        ({"none": False, "single": False, "multi": False}, True, "multi"),
        ({"none": False, "single": False, "multi": False}, False, "single"),
    ],
)
def test_a_label_is_the_cheapest_way_that_was_right_else_the_nature_of_the_set(
    right: dict[str, bool], multi_hop: bool, expected: str
) -> None:
    assert label(**right, multi_hop=multi_hop) == expected


def prompted(*replies: str) -> Prompted:
    template = Template.parse("{question}", name="t", fields={"question"})
    return Prompted(Asker(ScriptedModel(replies), template, {"needs": {"type": "string"}}))


def test_the_model_is_asked_once_for_each_question() -> None:
    adaptive = Adaptive(prompted('{"needs": "multi"}'), IterRetGen())
    decision = adaptive.decide(asked("q"))
    assert decision.why == "class multi"
    assert decision.numbers["requests"] == 1
    assert adaptive.decide(finished("q")).retrieve


@pytest.mark.parametrize("reply", ["multi", '{"needs": "much"}', "{}"])
def test_a_reply_that_names_no_class_is_a_failure(reply: str) -> None:
    with pytest.raises(BackendError, match="did not say"):
        Adaptive(prompted(reply), IterRetGen()).decide(asked("q"))


def test_adaptive_keeps_the_contract_of_triggers() -> None:
    check_trigger(Adaptive(by_rules, IterRetGen()))
