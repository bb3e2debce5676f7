"""The loop of dynamic retrieval."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

import pytest

from rag import Answered, Components, Pipeline, Retrieved, Wrote
from rag.errors import BackendError
from rag.events import Cited, Decided, Event, Retracted
from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.pipeline.dynamic import Loop
from rag.pipeline.run import Run, Work
from rag.testing import ScriptedModel
from rag.trigger.base import Decision, Moment, MomentName
from rag.types import Query, Ranking, Token, Usage

NO = Decision(retrieve=False, why="sure")
DOGS = "Do dogs bark at the postman?"
FIRST = "Dogs bark at the postman. [1] The Vasa sank in 1700. It was big."
SECOND = "The Vasa sank in 1628. [2]"


@dataclass
class Told:
    """A trigger that says what a function says, and keeps what it was asked."""

    say: Callable[[Moment], Decision]
    moments: frozenset[MomentName] = frozenset({"written"})
    reads_tokens: bool = False
    asked: list[Moment] = field(default_factory=list)

    def decide(self, moment: Moment) -> Decision:
        self.asked.append(moment)
        return self.say(moment)


def doubt_1700(moment: Moment) -> Decision:
    """Looks up the Vasa where a sentence has it sink in 1700."""
    if moment.name == "written" and "1700" in moment.sentence:
        return Decision(retrieve=True, why="1700", queries=("When did the Vasa sink?",))
    return NO


Make = Callable[..., Pipeline]


@pytest.fixture
def ask(make: Make) -> Callable[..., Pipeline]:
    """A pipeline with one chunk a retrieval, a given model and a given trigger."""

    def build(model: object, trigger: object, *overrides: str) -> Pipeline:
        pipeline = make(
            "llm={use: given}",
            "ask.generate={use: llm}",
            "ask.fuse.keep=1",
            "ask.dynamic={trigger: {use: always}}",
            *overrides,
            components=Components(llm=model, trigger=trigger),  # type: ignore[arg-type]
        )
        pipeline.ingest()
        return pipeline

    return build


def kinds(events: Sequence[Event]) -> list[str]:
    """The names of the events, runs of `Wrote` as one; citations aside."""
    names = [type(event).__name__ for event in events if not isinstance(event, Cited)]
    return [name for at, name in enumerate(names) if not (name == "Wrote" and names[at - 1 : at] == ["Wrote"])]


def shown(events: Sequence[Event]) -> str:
    """What a consumer has that follows `Wrote` and `Retracted`."""
    text = ""
    for event in events:
        if isinstance(event, Wrote):
            text += event.text
        elif isinstance(event, Retracted):
            text = text[: event.keep]
    return text


def test_a_sentence_in_doubt_is_taken_back_and_written_anew_with_more_evidence(ask) -> None:
    model = ScriptedModel([FIRST, SECOND])
    events = list(ask(model, Told(doubt_1700)).stream([DOGS]))
    answer = events[-1].answer
    assert answer.text == "Dogs bark at the postman. [1] The Vasa sank in 1628. [2]"
    assert [part.span.document_id for part in answer.evidence] == ["animals.md", "ships.txt"]
    assert [citation.evidence for citation in answer.citations] == [(1,), (2,)]
    assert kinds(events) == [
        *("Retrieved", "Compressed", "Wrote", "Decided"),  # the first sentence stands
        *("Wrote", "Decided", "Retrieved", "Compressed", "Retracted"),
        *("Wrote", "Answered"),  # the first sentence after a retrieval is not asked about
    ]
    (back,) = [event for event in events if isinstance(event, Retracted)]
    assert back.keep == len("Dogs bark at the postman. [1]")
    assert shown(events) == answer.text


def test_the_model_continues_the_accepted_draft_with_the_old_evidence_before_the_new(ask) -> None:
    model = ScriptedModel([FIRST, SECOND])
    ask(model, Told(doubt_1700)).ask(DOGS)
    before, after = model.asked
    assert after[-1] == Message("assistant", "Dogs bark at the postman. [1]")
    assert before[-1].role == "user"
    common = before[-1].content.split("</sources>")[0].rstrip()
    assert after[-2].content.startswith(common)
    assert "The Vasa sank" in after[-2].content


def test_the_trigger_is_told_the_draft_the_sentence_and_the_evidence(ask) -> None:
    trigger = Told(doubt_1700)
    ask(ScriptedModel([FIRST, SECOND]), trigger).ask(DOGS)
    first, second = trigger.asked
    assert (first.draft, first.sentence, first.round) == ("", "Dogs bark at the postman. [1]", 1)
    assert (second.draft, second.sentence) == ("Dogs bark at the postman. [1]", " The Vasa sank in 1700.")
    assert "".join(token.text for token in second.tokens) == second.sentence
    assert [part.span.document_id for part in second.evidence] == ["animals.md"]


def test_where_nothing_new_is_found_the_sentence_stays_and_the_answer_goes_on(ask) -> None:
    def say(moment: Moment) -> Decision:
        return Decision(retrieve="[1]" in moment.sentence, queries=(DOGS,))

    model = ScriptedModel(["Dogs bark at the postman. [1] They are loud at it.", "They are loud."])
    events = list(ask(model, Told(say)).stream([DOGS]))
    assert events[-1].answer.text == "Dogs bark at the postman. [1] They are loud."
    assert len(events[-1].answer.evidence) == 1
    assert model.asked[1][-1] == Message("assistant", "Dogs bark at the postman. [1]")
    assert shown(events) == events[-1].answer.text


def test_every_decision_is_in_the_trace(ask) -> None:
    trace = ask(ScriptedModel([FIRST, SECOND]), Told(doubt_1700)).ask(DOGS).trace
    stages = [record.stage for record in trace.stages]
    assert stages.count("generate") == 2
    sure, doubt = [record for record in trace.stages if record.stage == "trigger"]
    assert sure.use == "Told"
    assert sure.notes == {"moment": "written", "round": 1, "retrieve": False, "why": "sure", "query": ""}
    assert doubt.notes["why"] == "1700"
    assert doubt.notes["query"] == "When did the Vasa sink?"
    assert doubt.given == 1


def test_no_more_than_so_many_rounds_are_retrieved(ask) -> None:
    def say(moment: Moment) -> Decision:
        return Decision(retrieve=True, queries=("When did the Vasa sink?",))

    trigger = Told(say)
    pipeline = ask(ScriptedModel([FIRST, "Birds fly. So they do."]), trigger, "ask.dynamic.rounds=2")
    answer = pipeline.ask(DOGS)
    assert answer.text == "Birds fly. So they do."
    assert len(trigger.asked) == 1  # after the second round there is nothing to ask any more
    assert len([record for record in answer.trace.stages if record.stage == "fuse"]) == 2


def test_no_more_than_so_many_tokens_are_written(ask) -> None:
    trigger = Told(doubt_1700)
    answer = ask(ScriptedModel([FIRST, SECOND]), trigger, "ask.dynamic.tokens=3").ask(DOGS)
    assert answer.text == "Dogs bark at"


def test_a_doubt_at_the_last_token_is_not_looked_up_any_more(ask) -> None:
    trigger = Told(lambda moment: Decision(retrieve=True, queries=("Vasa",)))
    answer = ask(ScriptedModel(["Dogs bark. Cats sleep all day."]), trigger, "ask.dynamic.tokens=4").ask(DOGS)
    assert answer.text == "Dogs bark. Cats sleep"
    assert trigger.asked == []


def test_after_so_many_seconds_nothing_more_is_retrieved_and_the_answer_is_written_to_its_end(ask) -> None:
    clock = iter([0.0] + [100.0] * 1000)
    trigger = Told(lambda moment: Decision(retrieve=True, queries=("Vasa",)))
    pipeline = ask(ScriptedModel([FIRST]), trigger)
    pipeline.warm_up()
    run = Run(pipeline.stages, pipeline.tracer)
    loop = Loop(run, run.stages.dynamic, now=lambda: next(clock))
    *_, last = loop.answer([Work(0, Query(text=DOGS))])
    assert isinstance(last, Answered)
    assert last.answer.text == FIRST
    assert trigger.asked == []


def failing(moment: Moment) -> Decision:
    raise BackendError("the counts are down")


def test_a_trigger_that_fails_before_anything_is_retrieved_makes_the_question_be_retrieved(ask) -> None:
    trigger = Told(failing, moments=frozenset({"asked"}))
    answer = ask(ScriptedModel(["Dogs bark. [1]"]), trigger).ask(DOGS)
    assert [part.span.document_id for part in answer.evidence] == ["animals.md"]
    (record,) = [record for record in answer.trace.stages if record.stage == "trigger"]
    assert record.notes["failed"] == 1
    assert record.notes["why"] == "failed: the counts are down"


def test_a_trigger_that_fails_after_a_retrieval_is_counted_and_the_answer_goes_on(ask) -> None:
    answer = ask(ScriptedModel([FIRST]), Told(failing)).ask(DOGS)
    assert answer.text == FIRST
    failed = [record.notes["failed"] for record in answer.trace.stages if record.stage == "trigger"]
    assert failed == [1, 1, 1]


def test_a_failing_trigger_ends_the_question_where_that_is_asked_for(ask) -> None:
    with pytest.raises(BackendError, match="the counts are down"):
        ask(ScriptedModel([FIRST]), Told(failing), "ask.dynamic.on_failure=fail").ask(DOGS)


def test_without_retrieval_the_generator_abstains_and_asks_no_model(ask) -> None:
    never = Told(lambda moment: NO, moments=frozenset({"asked"}))
    events = list(ask(ScriptedModel([]), never).stream([DOGS]))
    assert kinds(events) == ["Decided", "Wrote", "Answered"]
    assert events[-1].answer.abstained
    assert events[-1].answer.reason == "no-evidence"


def test_without_retrieval_the_model_answers_where_it_may(ask) -> None:
    never = Told(lambda moment: NO, moments=frozenset({"asked"}))
    options = "ask.generate={use: llm, without_evidence: answer}"
    answer = ask(ScriptedModel(["Yes, they do."]), never, options).ask(DOGS)
    assert (answer.text, answer.evidence, answer.abstained) == ("Yes, they do.", (), False)


def test_a_trigger_may_end_the_answer_after_a_sentence(ask) -> None:
    trigger = Told(lambda moment: Decision(retrieve=False, stop="[1]" in moment.sentence))
    events = list(ask(ScriptedModel([FIRST]), trigger).stream([DOGS]))
    assert events[-1].answer.text == "Dogs bark at the postman. [1]"
    assert shown(events) == events[-1].answer.text


def again(moment: Moment) -> Decision:
    return Decision(retrieve=moment.round < 2, queries=("When did the Vasa sink?",))


def test_at_the_end_the_whole_answer_may_be_written_anew(ask) -> None:
    model = ScriptedModel(["Dogs bark. [1]", "Ships sink. [2]"])
    events = list(ask(model, Told(again, moments=frozenset({"finished"}))).stream([DOGS]))
    assert events[-1].answer.text == "Ships sink. [2]"
    assert [event.keep for event in events if isinstance(event, Retracted)] == [0]
    assert model.asked[1][-1].role == "user"  # no draft
    assert all(event.settled == 0 for event in events if isinstance(event, Decided))


def test_an_answer_stays_where_a_retrieval_at_its_end_brings_nothing_new(ask) -> None:
    trigger = Told(lambda moment: Decision(retrieve=True, queries=(DOGS,)), moments=frozenset({"finished"}))
    model = ScriptedModel(["Dogs bark. [1]"])
    assert ask(model, trigger).ask(DOGS).text == "Dogs bark. [1]"
    assert len(trigger.asked) == 1


def test_an_abstained_answer_is_shown_to_the_trigger_as_empty_and_may_be_mended(ask) -> None:
    trigger = Told(again, moments=frozenset({"finished", "written"}))
    trigger.say = lambda moment: again(moment) if moment.name == "finished" else NO
    answer = ask(ScriptedModel(["NOT_IN_SOURCES", "In 1628. [2]"]), trigger).ask(DOGS)
    assert trigger.asked[0].abstained
    assert trigger.asked[0].draft == ""
    assert (answer.text, answer.abstained) == ("In 1628. [2]", False)


def test_a_model_that_has_nothing_to_add_to_a_draft_does_not_abstain(ask) -> None:
    answer = ask(ScriptedModel([FIRST, "NOT_IN_SOURCES"]), Told(doubt_1700)).ask(DOGS)
    assert (answer.text, answer.abstained) == ("Dogs bark at the postman. [1]", False)


def test_a_second_source_takes_the_place_of_what_was_found(ask, make, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "vasa.txt").write_text("The Vasa museum shows the ship of 1628.")
    archive = make(f"ingest.load=[{{use: files, root: '{other}'}}]", f"ingest.index.path='{tmp_path / 'archive'}'")
    archive.ingest()

    def say(moment: Moment) -> Decision:
        if moment.elsewhere:
            return NO
        return Decision(retrieve=True, elsewhere=True, found=type(moment.ranking)(), queries=("Vasa museum",))

    second = f"{{use: routed, sources: {{archive: {{index: '{tmp_path / 'archive'}', description: ships}}}}}}"
    trigger = Told(say, moments=frozenset({"found"}))
    answer = ask(ScriptedModel(["It does. [1]"]), trigger, f"ask.dynamic.elsewhere={second}").ask(DOGS)
    assert [part.span.document_id for part in answer.evidence] == ["archive::vasa.txt"]
    assert answer.citations[0].evidence == (1,)


def test_a_further_retrieval_adds_so_much_and_the_first_evidence_is_as_much_as_ever(ask) -> None:
    options = ("ask.fuse.keep=3", "ask.compress.keep=3", "ask.dynamic.add=1")
    first_only = ask(ScriptedModel(["Yes. [1]"]), Told(lambda moment: NO, frozenset({"found"})), *options).ask(DOGS)
    assert len(first_only.evidence) == 3
    dropping = Told(lambda moment: Decision(retrieve=moment.round < 2, queries=("Vasa",), found=dropped(moment)))
    dropping.moments = frozenset({"found"})
    assert len(ask(ScriptedModel(["Yes. [1]"]), dropping, *options).ask(DOGS).evidence) == 3


def dropped(moment: Moment) -> Ranking | None:
    return Ranking() if moment.round == 1 else None


def test_several_queries_have_each_its_own_search_and_take_turns(ask) -> None:
    asked = ("When did the Vasa sink?", "Welcher Tunnel führt unter dem Fluss hindurch?")
    trigger = Told(lambda moment: Decision(retrieve=moment.round < 2, queries=asked), frozenset({"finished"}))
    single = ("ingest.index.dense=null", "ask.retrieve=[{use: sparse}]", "ask.fuse={use: single, keep: 1}")
    answer = ask(ScriptedModel(["Dogs bark. [1]", "So they do. [3]"]), trigger, *single).ask(DOGS)
    assert [part.span.document_id for part in answer.evidence] == ["animals.md", "ships.txt", "hafen.md"]
    assert answer.text == "So they do. [3]"


def test_a_decision_for_a_second_source_that_is_not_there_retrieves_nothing(ask) -> None:
    def say(moment: Moment) -> Decision:
        return Decision(retrieve=True, elsewhere=True, found=type(moment.ranking)())

    answer = ask(ScriptedModel([]), Told(say, moments=frozenset({"found"}))).ask(DOGS)
    assert answer.abstained
    (record,) = [record for record in answer.trace.stages if record.stage == "trigger"]
    assert record.notes["not_retrieved"] == "there is no second source"


class Replies:
    """Answers by what it is asked: a question that names the Vasa gets one sentence to doubt, drafts are continued."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.drafts: list[str] = []

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        raise AssertionError("only streamed")

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        draft = messages[-1].content if messages[-1].role == "assistant" else ""
        with self.lock:
            self.drafts.append(draft)
        question = messages[-2 if draft else -1].content.rpartition("Question: ")[2]
        if draft:
            reply = SECOND
        elif "postman" in question:
            reply = FIRST
        elif "Vasa" in question:
            reply = "In 1628. [1] It was raised in 1961. [1]"
        else:
            reply = "NOT_IN_SOURCES"
        for word in re.findall(r"\s*\S+|\s+", reply):
            yield Token(word)
        yield Usage(10, len(reply.split()), 1)

    def close(self) -> None:
        """Nothing to close."""


def test_many_questions_at_once_get_the_answers_they_get_alone(ask) -> None:
    questions = [DOGS, "When was the Vasa raised?", "Which city has the largest harbour?", DOGS]
    pipeline = ask(Replies(), Told(doubt_1700))
    together = pipeline.ask_many(questions)
    assert together == [pipeline.ask(question) for question in questions]
    assert [answer.text for answer in together] == [
        "Dogs bark at the postman. [1] The Vasa sank in 1628. [2]",
        "In 1628. [1] It was raised in 1961. [1]",
        "The sources do not answer this question.",
        "Dogs bark at the postman. [1] The Vasa sank in 1628. [2]",
    ]
    assert [answer.usage.requests for answer in together] == [2, 1, 1, 2]


def test_questions_of_a_batch_retrieve_together(ask) -> None:
    pipeline = ask(Replies(), Told(doubt_1700))
    calls: list[int] = []
    retriever = pipeline.stages.retrievers[0].run
    retrieve = retriever.retrieve
    retriever.retrieve = lambda queries: calls.append(len(queries)) or retrieve(queries)
    pipeline.ask_many([DOGS, "When was the Vasa raised?", DOGS])
    assert calls == [3, 2]


def test_a_stopped_reply_counts_what_was_given_of_it(ask) -> None:
    usage = ask(ScriptedModel([FIRST, SECOND]), Told(doubt_1700)).ask(DOGS).usage
    assert usage.estimated
    assert usage.requests == 2
    # The 11 words of two sentences and "It was", which shows that the second has ended; then all 6 of the second reply.
    assert usage.completion_tokens == 13 + 6


def test_only_pieces_that_may_be_taken_back_are_provisional(ask) -> None:
    pipeline = ask(ScriptedModel([FIRST, SECOND]), Told(doubt_1700), "ask.dynamic.rounds=2")
    pieces = [event for event in pipeline.stream([DOGS]) if isinstance(event, Wrote)]
    assert "".join(piece.text for piece in pieces if not piece.provisional).strip() == SECOND


def test_without_dynamic_retrieval_nothing_is_provisional(make) -> None:
    pipeline = make("ask.generate={use: extractive, threshold: 0}")
    pipeline.ingest()
    events = list(pipeline.stream([DOGS]))
    assert kinds(events) == ["Retrieved", "Compressed", "Wrote", "Answered"]
    assert not any(event.provisional for event in events if isinstance(event, Wrote))


def test_a_quoting_generator_goes_on_without_repeating_itself(make) -> None:
    pipeline = make(
        "ask.generate={use: extractive, threshold: 0}",
        "ask.fuse.keep=1",
        "ask.dynamic={trigger: {use: always}, rounds: 3}",
    )
    pipeline.ingest()
    answer = pipeline.ask("When did the Vasa sink on its first voyage, and was it raised?")
    sentences = re.findall(r"The Vasa sank|It was raised", answer.text)
    assert sentences == ["The Vasa sank", "It was raised"]
    assert sum(isinstance(event, Retrieved) for event in pipeline.stream(["When did the Vasa sink?"])) > 1
