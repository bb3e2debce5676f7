"""Conversations: what is remembered, found again and given with the next question."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import Components, Pipeline
from rag.errors import BackendError, SourceError
from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.models.passages import earlier_turns
from rag.models.tokens import message_tokens
from rag.pipeline.conversation import SUMMARY_QUESTION, Conversation
from rag.pipeline.memory import Memory, Remembered, load, save, weight
from rag.testing import ScriptedModel
from rag.types import Token, Usage

Make = Callable[..., Pipeline]


@pytest.fixture
def offline(make: Make) -> Pipeline:
    pipeline = make()
    pipeline.ingest()
    return pipeline


@pytest.fixture
def asking(make: Make) -> Callable[..., tuple[Pipeline, ScriptedModel]]:
    def build(*replies: str | Exception) -> tuple[Pipeline, ScriptedModel]:
        model = ScriptedModel(replies)
        pipeline = make("llm={use: given}", "ask.generate={use: llm}", components=Components(llm=model))
        pipeline.ingest()
        return pipeline, model

    return build


def test_a_turn_of_equal_use_weighs_less_the_older_it_is() -> None:
    assert weight(Remembered(200, "?", "!"), 200) == 1
    assert weight(Remembered(0, "?", "!"), 200) == pytest.approx(0.3679, abs=1e-4)
    assert weight(Remembered(0, "?", "!", recalled=1), 200) == pytest.approx(2 * 0.3679, abs=1e-4)


@given(st.lists(st.tuples(st.text(max_size=5), st.booleans()), max_size=40), st.integers(1, 6))
def test_however_long_it_lasts_no_more_turns_are_kept_than_allowed(turns: list[tuple[str, bool]], entries: int) -> None:
    memory = Memory(entries)
    for text, recalled in turns:
        memory.add(text, text)
        if recalled:
            memory.recall(memory.turns[:1])
    assert len(memory.turns) == min(entries, len(turns))
    assert [each.at for each in memory.turns] == sorted({each.at for each in memory.turns})
    assert memory.said == len(turns)


def test_a_turn_that_is_recalled_outlives_newer_ones() -> None:
    memory = Memory(2)
    memory.add("a", "1")
    memory.recall(memory.turns)
    memory.add("b", "2")
    memory.add("c", "3")
    assert [each.question for each in memory.turns] == ["a", "c"]


def test_without_a_model_an_earlier_turn_is_found_again_and_nothing_is_summarized(offline: Pipeline) -> None:
    conversation = Conversation(offline, recent=1, recalled=1)
    for question in ("Do dogs bark at the postman?", "When did the Vasa sink?", "What hunts at night?"):
        assert conversation.ask(question).query == question
    assert conversation.memory.summary == ""
    questions = [question for question, _ in conversation.history("Do dogs bark loudly?")]
    assert questions == ["Do dogs bark at the postman?", "What hunts at night?"]


def test_the_same_questions_give_the_same_conversation(offline: Pipeline) -> None:
    questions = ["Do dogs bark?", "When did the Vasa sink?", "What hunts at night?", "And dogs?"]
    first, second = Conversation(offline), Conversation(offline)
    assert [first.ask(each).text for each in questions] == [second.ask(each).text for each in questions]
    assert first.memory == second.memory


def test_with_a_model_a_follow_up_stands_alone_and_old_turns_go_into_the_summary(asking) -> None:
    pipeline, model = asking(
        "At the postman [1].",
        *("When did the Vasa sink?", "In 1628 [1].", "Dogs were talked about."),
        *("When was the Vasa raised?", "In 1961 [1].", "Dogs and the Vasa were talked about."),
    )
    conversation = Conversation(pipeline, recent=1, recalled=0)
    conversation.ask("Do dogs bark?")
    assert conversation.ask("And the Vasa, sinking?").query == "When did the Vasa sink?"
    assert conversation.memory.summary == "Dogs were talked about."
    conversation.ask("Raised?")
    assert conversation.memory.summary == "Dogs and the Vasa were talked about."
    assert "Dogs were talked about." in model.asked[6][-1].content  # the summary so far is rewritten
    assert conversation.history("?")[0] == (SUMMARY_QUESTION, "Dogs and the Vasa were talked about.")


def test_a_summary_that_fails_costs_no_answer_and_is_made_up_for(asking) -> None:
    pipeline, _ = asking("One [1].", "Two?", "Two [1].", BackendError("gone"), "Three?", "Three [1].", "All of it.")
    conversation = Conversation(pipeline, recent=1, recalled=0)
    conversation.ask("One?")
    assert conversation.ask("Two?").text == "Two [1]."
    assert conversation.memory.summarized == 0
    conversation.ask("Three?")
    assert (conversation.memory.summary, conversation.memory.summarized) == ("All of it.", 2)


def test_a_thousand_turns_stay_within_their_bounds(make: Make) -> None:
    """Of which nearly all were held without a summary: it is made up for, as much at a time as the window takes."""

    class Talking:
        def __init__(self) -> None:
            self.longest = self.summaries = 0

        def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
            self.longest = max(self.longest, message_tokens(messages) + (sampling.max_tokens or 512))
            if "<history>" in messages[-1].content and "Last question" not in messages[-1].content:
                self.summaries += 1
                return Completion("Dogs, at length. " * 10, Usage())
            return Completion("What do dogs do?", Usage())

        def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
            self.longest = max(self.longest, message_tokens(messages) + (sampling.max_tokens or 512))
            yield Token("Dogs bark at the postman [1]. " * 20)
            yield Usage()

        def close(self) -> None: ...

    model = Talking()
    pipeline = make("llm={use: given}", "ask.generate={use: llm}", components=Components(llm=model))
    pipeline.ingest()
    conversation = Conversation(pipeline, entries=200)
    for at in range(980):
        conversation.memory.add(f"What do dogs do at {at}?", "Dogs bark at the postman [1]. " * 20)
    for at in range(980, 1000):
        conversation.ask(f"What do dogs do at {at}?")
    assert conversation.memory.said == 1000
    assert len(conversation.memory.turns) == 200
    assert len(conversation._vectors) <= 200
    assert model.longest <= 8192  # the window, also of the summary that had hundreds of turns to make up for
    assert conversation.memory.summarized == 1000 - conversation.recent
    assert model.summaries == 20  # one a turn, as ever
    assert sum(conversation._count(earlier_turns([turn])) for turn in conversation.history("dogs?")) <= 1500


def test_a_turn_too_long_for_the_window_is_left_out_of_the_summary_and_stops_no_later_one(asking) -> None:
    pipeline, _ = asking("One [1].", "Two?", "Two [1].", "One was answered.")
    conversation = Conversation(pipeline, recent=1, recalled=0)
    conversation.memory.add("word " * 40_000, "!")
    conversation.ask("One?")
    assert (conversation.memory.summary, conversation.memory.summarized) == ("", 1)
    conversation.ask("Two?")
    assert (conversation.memory.summary, conversation.memory.summarized) == ("One was answered.", 2)


@pytest.mark.parametrize("tokens", [0, 8, 20, 40, 80, 1500])
def test_what_is_given_never_has_more_tokens_than_allowed(offline: Pipeline, tokens: int) -> None:
    conversation = Conversation(offline, tokens=tokens, recent=2)
    for at in range(12):
        conversation.memory.add(f"Question {at} about dogs?", "word " * at)
    conversation.memory.summary = "Dogs, at length."
    history = conversation.history("dogs?")
    assert sum(conversation._count(earlier_turns([turn])) for turn in history) <= tokens
    if tokens == 1500:
        assert [question for question, _ in history[-2:]] == [f"Question {at} about dogs?" for at in (10, 11)]
        assert history[0][0] == SUMMARY_QUESTION


def test_a_conversation_goes_on_from_its_file(offline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "talks" / "one.jsonl"
    first = Conversation(offline, path=path)
    first.ask("Do dogs bark?")
    second = Conversation(offline, path=path)
    assert second.memory == first.memory
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [other.name for other in path.parent.iterdir()] == ["one.jsonl"]
    second.clear()
    assert Conversation(offline, path=path).memory.turns == []


def test_answers_told_to_others_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    memory = Memory()
    memory.add("What is the budget?", "Secret.")
    save(memory, path, principals=frozenset({"board"}))
    assert load(path, entries=9, principals=frozenset({"board"})).turns == memory.turns
    for others in (None, frozenset[str](), frozenset({"staff"})):
        with pytest.raises(SourceError, match="held by board, not by"):
            load(path, entries=9, principals=others)


@pytest.mark.parametrize("content", ["", "{", '{"version": 2, "principals": null}', "[1]", json.dumps({"a": 1})])
def test_a_file_that_is_no_conversation_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=r"talk\.jsonl"):
        load(path, entries=9, principals=None)
