from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from rag.models.template import Template
from rag.query.asking import Asker
from rag.query.decompose import Decompose, Node, plan, written_out
from rag.query.split import Split, pieces
from rag.testing import ScriptedModel, check_transform
from rag.types import Query

TEMPLATE = Template.parse("{most} {question}", name="t", fields={"question", "most"})


def decompose(*replies: str, most: int = 5, depth: int = 3) -> Decompose:
    return Decompose(Asker(ScriptedModel(replies), TEMPLATE, concurrency=1), most=most, depth=depth)


def reply(*nodes: tuple[int, str, Sequence[int]]) -> str:
    listed = [{"id": number, "question": text, "depends_on": list(others)} for number, text, others in nodes]
    return json.dumps({"questions": listed})


def test_parts_follow_those_they_stand_on_and_name_them_by_their_words() -> None:
    made = decompose(reply((2, "When was #1 born?", [1]), (1, "Who directed Jaws?", []))).transform(
        [Query(text="When was the director of Jaws born?")]
    )
    assert [query.text for query in made[0].queries] == [
        "When was the director of Jaws born?",
        "Who directed Jaws?",
        "When was Who directed Jaws born?",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        '{"questions": []}',
        '{"questions": [{"id": 1}]}',
        reply((1, "a #2", [2]), (2, "b #1", [1])),  # a circle
        reply((1, "a #1", [1])),
        reply((1, "a", [7])),  # no such part
        reply((1, "a", []), (1, "b", [])),  # two of one number
        reply((1, "a #2", []), (2, "b", [])),  # names a part it does not depend on
        reply(*((number, "a", []) for number in range(6))),
        reply((1, "a", []), (2, "b", [1]), (3, "c", [2]), (4, "d", [3])),  # four in a row
    ],
)
def test_a_reply_that_is_no_plan_leaves_the_question_alone_and_is_counted(text: str) -> None:
    [made] = decompose(text).transform([Query(text="q")])
    assert made.queries == (Query(text="q"),)
    assert made.notes["malformed"] == 1


def test_a_question_that_stays_one_question_is_searched_once() -> None:
    [made] = decompose(reply((1, "q", []))).transform([Query(text="q")])
    assert (made.queries, made.notes["malformed"]) == ((Query(text="q"),), 0)


def test_a_plan_is_ordered_whatever_the_order_of_the_reply() -> None:
    listed = json.loads(reply((3, "c", [2]), (1, "a", []), (2, "b", [1])))
    nodes = plan(listed, most=5, depth=3)
    assert nodes == [Node(1, "a"), Node(2, "b", (1,)), Node(3, "c", (2,))]


def test_a_reference_runs_through_several_parts() -> None:
    nodes = [Node(1, "Who wrote Emma?"), Node(2, "the home of #1?", (1,)), Node(3, "Where is #2?", (2,))]
    assert written_out(nodes)[2] == "Where is the home of Who wrote Emma?"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Do dogs bark?", ["Do dogs bark?"]),
        ("Who wrote Faust? When was it printed?", ["Who wrote Faust?", "When was it printed?"]),
        ("Who wrote Faust and when was it printed?", ["Who wrote Faust", "when was it printed?"]),
        ("Do cats and dogs get along?", ["Do cats and dogs get along?"]),
        ("Who wrote Faust? Why?", ["Who wrote Faust? Why?"]),  # "Why?" alone finds nothing
        ("小猫喜欢什么？小狗喜欢什么？", ["小猫喜欢什么？", "小狗喜欢什么？"]),
    ],
)
def test_a_question_is_split_at_question_marks_and_before_a_second_question_word(
    question: str, expected: list[str]
) -> None:
    assert pieces(question) == expected


def test_the_question_is_kept_beside_its_pieces() -> None:
    [made] = Split().transform([Query(text="Who wrote Faust and when was it printed?")])
    assert made.queries[0].text == "Who wrote Faust and when was it printed?"
    assert len(made.queries) == 3


def test_splitting_keeps_the_contract_of_transforms() -> None:
    check_transform(Split())
