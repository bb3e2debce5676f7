from __future__ import annotations

from collections.abc import Sequence

from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.models.template import Template
from rag.query.condense import FIELDS
from rag.query.condensing import Condense
from rag.query.temporal import Temporal
from rag.testing import ScriptedModel, check_transform
from rag.types import Query, Usage

TEMPLATE = Template.parse("Rewrite.\n---\n{history}\nLast question: {question}", name="t", fields=FIELDS)


class Echo(ScriptedModel):
    """Answers each follow-up by its own last line, so that the order of threads does not matter."""

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        return Completion(f"{messages[-1].content.splitlines()[-1].removeprefix('Last question: ')} alone", Usage())


def test_a_question_with_a_period_is_searched_with_and_without_it() -> None:
    made = Temporal().transform([Query(text="Who led the club before 2019?"), Query(text="Do dogs bark?")])
    assert [query.text for query in made[0].queries] == ["Who led the club before 2019?", "Who led the club?"]
    assert made[0].notes["period"] == "-2019"
    assert [query.text for query in made[1].queries] == ["Do dogs bark?"]


def test_the_temporal_transform_keeps_the_contract() -> None:
    check_transform(Temporal(), questions=["Who won in 2012?", "Do dogs bark?"])


def test_follow_ups_are_condensed_each_by_its_own_conversation() -> None:
    transform = Condense(Echo([]), TEMPLATE, turns=8, concurrency=4)
    turns = (("Do dogs bark?", "Yes."),)
    made = transform.transform([Query(text="a", history=turns), Query(text="b"), Query(text="c", history=turns)])
    assert [rewritten.queries[0].text for rewritten in made] == ["a alone", "b", "c alone"]
    assert [rewritten.notes["requests"] for rewritten in made] == [1, 0, 1]
    assert made[0].queries[0].history == turns


def test_only_the_last_turns_are_shown() -> None:
    model = ScriptedModel(["Q?"])
    transform = Condense(model, TEMPLATE, turns=1, concurrency=1)
    transform.transform([Query(text="And?", history=(("old", "x"), ("new", "y")))])
    assert "old" not in model.asked[0][1].content
    assert "new" in model.asked[0][1].content


def test_condensing_keeps_the_contract() -> None:
    check_transform(Condense(Echo([]), TEMPLATE, turns=8, concurrency=2))


def test_a_reply_that_is_no_question_is_counted_and_not_used() -> None:
    transform = Condense(ScriptedModel(["one\n\ntwo"]), TEMPLATE, turns=8, concurrency=1)
    [made] = transform.transform([Query(text="And?", history=(("a", "b"),))])
    assert (made.queries[0].text, made.notes["malformed"]) == ("And?", 1)
