from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event

import pytest

from rag.errors import BackendError
from rag.generate.abstain import SENTENCE, opens_with_mark
from rag.generate.llm import LanguageModelGenerator
from rag.generate.prompt import FIELDS
from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.models.template import Template
from rag.testing import ScriptedModel
from rag.types import Evidence, Prompt, Span, Token, Usage

TEMPLATE = Template.parse("{evidence}\n{question}", name="t", fields=FIELDS)
EVIDENCE = (Evidence(span=Span("a", 0, 10), text="Dogs bark.", score=1.0, chunk_id="a", source="a.md"),)


def ask(
    *replies: str | Exception, questions: Sequence[str] = ("Do dogs bark?",)
) -> tuple[list[list[str]], list[object]]:
    model = ScriptedModel(replies)
    generator = LanguageModelGenerator(model, TEMPLATE, max_tokens=100)
    decoding = generator.start([Prompt(question=question, evidence=EVIDENCE) for question in questions])
    pieces: list[list[str]] = [[] for _ in questions]
    for at, token in decoding:
        pieces[at].append(token.text)
    return pieces, [decoding.outcome(at) for at in range(len(questions))]


def test_an_answer_streams_as_the_model_writes_it() -> None:
    [pieces], [outcome] = ask("Yes, they do [1].")
    assert pieces == ["Yes,", " they", " do", " [1]."]
    assert not outcome.abstained


@pytest.mark.parametrize(
    "reply", ["NOT_IN_SOURCES", "NOT_IN_SOURCES.", ' "not_in_sources"\n', "**NOT_IN_SOURCES** They say nothing."]
)
def test_the_mark_of_abstention_becomes_a_sentence_and_never_reaches_the_reader(reply: str) -> None:
    [pieces], [outcome] = ask(reply)
    assert pieces == [SENTENCE]
    assert (outcome.abstained, outcome.reason) == (True, "not-in-sources")
    assert outcome.usage.requests == 1


@pytest.mark.parametrize("reply", ["", " \n"])
def test_a_model_that_writes_nothing_has_not_answered(reply: str) -> None:
    [pieces], [outcome] = ask(reply)
    assert pieces == [SENTENCE]
    assert (outcome.abstained, outcome.reason) == (True, "empty-reply")


@pytest.mark.parametrize("reply", ["NOT all dogs bark [1].", "NOT", "NOT_IN_SOURCE", "Not_in"])
def test_an_answer_that_begins_like_the_mark_comes_out_whole(reply: str) -> None:
    [pieces], [outcome] = ask(reply)
    assert "".join(pieces) == reply
    assert not outcome.abstained


def test_whether_a_reply_opens_with_the_mark_stays_open_until_it_can_be_told() -> None:
    assert opens_with_mark("") is None
    assert opens_with_mark('"NOT_IN') is None
    assert opens_with_mark("NOTE") is False
    assert opens_with_mark("NOT_IN_SOURCES, because") is True


def test_without_evidence_the_model_is_not_asked() -> None:
    model = ScriptedModel([])
    decoding = LanguageModelGenerator(model, TEMPLATE, max_tokens=9).start([Prompt(question="?")])
    assert list(decoding) == [(0, Token(SENTENCE))]
    assert decoding.outcome(0).reason == "no-evidence"
    assert model.asked == []


def test_a_failure_of_the_model_ends_the_batch() -> None:
    with pytest.raises(BackendError, match="gone"):
        ask("One.", BackendError("gone"), "Three.", questions=("1", "2", "3"))


class Rendezvous:
    """A model whose replies only begin once `together` requests have come."""

    def __init__(self, together: int) -> None:
        self.missing = together
        self.met = Event()

    def complete(self, messages: Sequence[Message]) -> Completion:
        raise NotImplementedError

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        self.missing -= 1
        if self.missing == 0:
            self.met.set()
        assert self.met.wait(5), "the questions were not asked at the same time"
        yield Token(messages[-1].content.rpartition("\n")[2])
        yield Usage(1, 1, 1)

    def close(self) -> None:
        """Nothing to close."""


def test_questions_of_a_batch_are_asked_at_the_same_time_and_answers_keep_their_places() -> None:
    generator = LanguageModelGenerator(Rendezvous(3), TEMPLATE, max_tokens=9)
    decoding = generator.start([Prompt(question=str(at), evidence=EVIDENCE) for at in range(3)])
    assert sorted((at, token.text) for at, token in decoding) == [(0, "0"), (1, "1"), (2, "2")]
    assert [decoding.outcome(at).usage.requests for at in range(3)] == [1, 1, 1]


def test_an_answer_begins_with_its_first_word() -> None:
    assert ask("\n  Yes, they do [1].")[0] == [["Yes,", " they", " do", " [1]."]]
