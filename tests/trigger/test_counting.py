"""The triggers that count, alone over a small index and in a whole pipeline."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import Pipeline
from rag.errors import CountsUnavailableError
from rag.events import Answered, Decided
from rag.index.counts import Count
from rag.index.counts_local import LocalCounts
from rag.index.counts_server import InfinigramCounts
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec, NgramsSpec
from rag.models.retry import Backoff
from rag.testing.infinigram_stub import InfinigramStub
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.text.words import words
from rag.trigger.base import Asked, Decision, Written
from rag.trigger.popularity import Popularity, SubjectRelation
from rag.trigger.quco import Quco
from rag.trigger.quco_threshold import Absolute, Quantile
from rag.trigger.relations import relation_of, relation_words
from rag.types import Document, Query

FILMS = {
    "titanic.txt": "Titanic is a film. Titanic was directed by James Cameron. James Cameron was born in Kapuskasing.",
    "plan9.txt": "Plan Nine is a film. Plan Nine was directed by Ed Wood, who was born in Poughkeepsie.",
    "cameron.txt": "James Cameron also made Avatar. Avatar came after Titanic.",
}


@pytest.fixture
def index(tmp_path: Path) -> IndexDirectory:
    made = IndexDirectory(IndexSpec(path=str(tmp_path / "index"), dense=None, ngrams=NgramsSpec()))
    with made.writer(None) as writer:
        for name, text in FILMS.items():
            writer.add(Document(id=name, text=text), [], None, stamp="", fingerprint="")
        writer.commit()
        writer.compact()
    return made


def asked(question: str) -> Asked:
    return Asked(query=Query(text=question))


def written(sentence: str, draft: str = "") -> Written:
    return Written(query=Query(text="?"), draft=draft, sentence=sentence, tokens=(), evidence=(), round=0)


def quco(index: IndexDirectory, *, tau: float = 2, stops: bool = False) -> Quco:
    return Quco(LocalCounts(index), Absolute(tau), aggregate="min", least_head=2, stops=stops)


def test_a_question_about_something_rare_is_retrieved_for(index: IndexDirectory) -> None:
    trigger = quco(index)
    # Titanic occurs three times, Ed Wood once.
    decision = trigger.decide(asked("Were James Cameron and Ed Wood friends?"))
    assert decision.retrieve
    assert decision.numbers == {"entities": 2, "count": 1.0, "tau": 2, "rarest": 1}
    assert "'Ed Wood' (1)" in decision.why
    assert not trigger.decide(asked("Who directed Titanic?")).retrieve


def test_a_question_that_names_nothing_is_not(index: IndexDirectory) -> None:
    assert not quco(index).decide(asked("what is love?")).retrieve


@pytest.mark.parametrize(
    ("sentence", "queries"),
    [
        ("Titanic was directed by James Cameron.", ()),
        ("Titanic was directed by Ed Wood.", ("Titanic was directed by",)),  # both occur, never together
        ("Ed Wood was born in Paris.", ("Ed Wood was born in",)),
        ("Ed Wood was a filmmaker.", ("Ed Wood was filmmaker",)),  # the head occurs once, 2 are asked for
        ("Titanic was a success.", ()),
        ("It won many prizes.", ()),
        (
            "Titanic was directed by Ed Wood and written by Bela Lugosi.",
            ("Titanic was directed by", "Titanic written by"),
        ),
    ],
)
def test_a_sentence_that_joins_what_never_occurs_together_is_in_doubt(
    index: IndexDirectory, sentence: str, queries: tuple[str, ...]
) -> None:
    decision = quco(index).decide(written(sentence))
    assert decision.queries == queries
    assert decision.retrieve is bool(queries)


def test_the_published_stops_are_there_for_who_asks(index: IndexDirectory) -> None:
    unsaid, final = written("The rest is not mentioned.", "Titanic is a film."), written(" So the answer is Titanic.")
    assert quco(index, stops=True).decide(unsaid).keep == len("Titanic is a film.")
    assert quco(index, stops=True).decide(unsaid).stop
    assert quco(index, stops=True).decide(final) == Decision(
        retrieve=False, why="final", numbers={"statements": 0, "flagged": 0}, stop=True
    )
    assert not quco(index).decide(unsaid).stop
    assert not quco(index).decide(final).stop


def test_a_quantile_of_the_corpus_own_counts_is_a_threshold_for_any_size(index: IndexDirectory) -> None:
    # Titanic and James Cameron 3 each, Plan Nine and Avatar 2, Kapuskasing, Ed Wood and Poughkeepsie 1.
    assert Quantile(0, LocalCounts(index), index).value() == 1
    assert Quantile(0.5, LocalCounts(index), index).value() == 2
    assert Quantile(1, LocalCounts(index), index).value() == 3


def test_popularity_goes_by_the_rarest_and_retrieves_where_nothing_is_named(index: IndexDirectory) -> None:
    trigger = Popularity(LocalCounts(index), Absolute(2))
    assert not trigger.decide(asked("Who directed Titanic?")).retrieve
    assert trigger.decide(asked("Did Ed Wood direct Titanic?")).retrieve
    assert trigger.decide(asked("what is love?")).retrieve


def test_a_popular_relation_of_a_rare_subject_needs_no_retrieval(index: IndexDirectory) -> None:
    assert relation_words("Where was Ed Wood born?") == ["born"]
    trigger = SubjectRelation(LocalCounts(index), Absolute(1), window=20)
    assert not trigger.decide(asked("Where was Ed Wood born?")).retrieve  # "Ed Wood, who was born"
    assert trigger.decide(asked("Where was Ed Wood buried?")).retrieve
    assert trigger.decide(asked("Where was Titanic born?")).numbers["popularity"] == 2  # near, though of another


def test_a_server_counts_in_the_place_of_the_index() -> None:
    with InfinigramStub([text.replace(".", " .").replace(",", " ,") for text in FILMS.values()]) as stub:
        counts = InfinigramCounts(url=stub.url, index="films")
        trigger = Quco(counts, Absolute(2), least_head=2)
        assert trigger.decide(asked("Where was Ed Wood born?")).retrieve
        assert trigger.decide(written("Titanic was directed by Ed Wood.")).queries == ("Titanic was directed by",)
        assert not trigger.decide(written("Titanic was directed by James Cameron.")).retrieve
        counts.close()


def test_a_server_that_is_gone_raises_instead_of_counting_zero() -> None:
    counts = InfinigramCounts(url=nowhere(), index="films", backoff=Backoff(retries=0))
    with pytest.raises(CountsUnavailableError, match="cannot reach"):
        Quco(counts, Absolute(2)).decide(asked("Where was Ed Wood born?"))
    counts.close()


# ---- in a pipeline

Make = Callable[..., Pipeline]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """``make("ask.dynamic.rounds=2", trigger="{use: quco}", replies=[...])``: a pipeline over `FILMS` with a model."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name, text in FILMS.items():
        (folder / name).write_text(text)
    with ExitStack() as opened:

        def build(*overrides: str, trigger: str, replies: list[str]) -> Pipeline:
            stub = opened.enter_context(OpenAIStub([Reply(text=text) for text in replies]))
            pipeline = Pipeline.from_yaml(
                "sparse",
                overrides=[
                    f"ingest.load=[{{use: files, root: {json.dumps(str(folder))}}}]",
                    f"ingest.index.path={json.dumps(str(tmp_path / 'piped'))}",
                    "ingest.index.ngrams={}",
                    f"llm={{use: openai, base_url: '{stub.base_url}', model: stub}}",
                    "ask.generate={use: llm, without_evidence: answer}",
                    f"ask.dynamic={{trigger: {trigger}}}",
                    *overrides,
                ],
            )
            opened.enter_context(pipeline).ingest()
            return pipeline

        yield build


def nowhere() -> str:
    """The address of a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def decided(pipeline: Pipeline, question: str) -> tuple[list[Decided], Answered]:
    events = list(pipeline.stream([question]))
    answered = events[-1]
    assert isinstance(answered, Answered)
    return [event for event in events if isinstance(event, Decided)], answered


def test_a_statement_that_the_documents_never_make_is_looked_up_and_written_anew(make: Make) -> None:
    pipeline = make(
        trigger="{use: quco, below: 1}",
        replies=["Titanic was directed by Ed Wood.", "Titanic was directed by James Cameron. [1]"],
    )
    decisions, answered = decided(pipeline, "Who directed Titanic?")
    before, doubt = decisions[:2]
    assert (before.moment, before.retrieve) == ("asked", False)  # Titanic is known
    assert (doubt.moment, doubt.retrieve) == ("written", True)
    assert [query.text for query in doubt.queries] == ["Titanic was directed by"]
    assert "James Cameron" in answered.answer.text
    assert "Ed Wood" not in answered.answer.text


@pytest.mark.parametrize(("policy", "retrieves"), [("retrieve", True), ("write", False)])
def test_an_unreachable_service_shows_in_the_trace_and_follows_the_policy(
    make: Make, policy: str, retrieves: bool
) -> None:
    trigger = f"{{use: quco, below: 1000, counts: {{use: infinigram, url: '{nowhere()}', index: i, retries: 0}}}}"
    pipeline = make(f"ask.dynamic.on_failure={policy}", trigger=trigger, replies=["Nobody. [1]", "Nobody. [1]"])
    decisions, answered = decided(pipeline, "Who directed Titanic?")
    assert decisions[0].retrieve is retrieves
    assert "cannot reach" in decisions[0].why
    assert decisions[0].numbers["failed"] == 1
    assert bool(answered.answer.evidence) is retrieves


def test_an_unreachable_service_can_fail_the_question(make: Make) -> None:
    trigger = f"{{use: quco, below: 1000, counts: {{use: infinigram, url: '{nowhere()}', index: i, retries: 0}}}}"
    pipeline = make("ask.dynamic.on_failure=fail", trigger=trigger, replies=["Nobody."])
    with pytest.raises(CountsUnavailableError, match="cannot reach"):
        pipeline.ask("Who directed Titanic?")


def test_a_relation_has_a_threshold_of_its_own(index: IndexDirectory) -> None:
    trigger = Popularity(LocalCounts(index), Absolute(1), {"director": 4, "date of birth": 0, "birth": 9})
    # Titanic occurs three times.
    plain, director, birth = (
        trigger.decide(asked(question))
        for question in ("Who filmed Titanic?", "Who was the director of Titanic?", "What was Titanic's date of birth?")
    )
    assert (plain.retrieve, plain.numbers["threshold"]) == (False, 1)
    assert (director.retrieve, director.numbers["threshold"]) == (True, 4)
    assert director.why == "the rarest in questions of 'director', 'Titanic': 3"
    assert (birth.retrieve, birth.numbers["threshold"]) == (False, 0)  # two words say more than one


def test_a_relation_is_found_by_its_words_outside_of_names() -> None:
    assert relation_of("Who wrote Director of Photography?", {"director": 1.0}) is None
    assert relation_of("Who was the director?", {"director": 1.0, "the director": 2.0}) == "the director"


@pytest.mark.parametrize(
    ("relations", "message"),
    [("{of the: 3}", "'of the' has no word"), ("{director: -1}", "at least 0"), ("{director: many}", "number")],
)
def test_relations_that_no_question_can_have_are_refused(relations: str, message: str) -> None:
    from rag.config.problems import InvalidConfigError

    overrides = [
        "ingest.index.ngrams={}",
        f"ask.dynamic={{trigger: {{use: popularity, below: 1, relations: {relations}}}}}",
    ]
    with pytest.raises(InvalidConfigError, match=message):
        Pipeline.from_yaml("hybrid", overrides=overrides)


@pytest.mark.parametrize("use", ["popularity", "subject-relation"])
def test_what_the_documents_hardly_know_is_retrieved_for(make: Make, use: str) -> None:
    pipeline = make(trigger=f"{{use: {use}, below: 1}}", replies=["Somebody."] * 4)
    known, _ = decided(pipeline, "Who directed Titanic?")
    unknown, answered = decided(pipeline, "Who directed Avatar Three?")
    assert not known[0].retrieve
    assert unknown[0].retrieve
    assert answered.answer.evidence


def test_counting_in_an_index_that_keeps_no_counts_is_refused_before_anything_runs() -> None:
    from rag.config.problems import InvalidConfigError

    with pytest.raises(InvalidConfigError, match=r"set `ingest.index.ngrams: \{\}`"):
        Pipeline.from_yaml("hybrid", overrides=["ask.dynamic={trigger: {use: quco}}"])


def test_a_quantile_of_a_servers_counts_is_refused() -> None:
    from rag.config.problems import InvalidConfigError

    trigger = "{use: quco, counts: {use: infinigram, url: 'http://localhost:1/', index: i}}"
    with pytest.raises(InvalidConfigError, match="`below` is unset"):
        Pipeline.from_yaml("hybrid", overrides=[f"ask.dynamic={{trigger: {trigger}}}"])


class AnyCounts:
    """Counts everything once, and refuses what has no word, as every counter does."""

    def count(self, phrase: str) -> Count:
        assert words(phrase)
        return Count(1)

    def cooccur(self, first: str, second: str, *, window: int) -> Count:
        assert words(first)
        assert words(second)
        return Count(0)


@given(st.text() | st.text(st.sampled_from("Aa B.ⅧⒶ²“” was")))
def test_whatever_is_asked_and_written_only_words_are_counted(text: str) -> None:
    for trigger in (
        Quco(AnyCounts(), Absolute(2)),
        Popularity(AnyCounts(), Absolute(2)),
        SubjectRelation(AnyCounts(), Absolute(2), window=9),
    ):
        trigger.decide(asked(text))
        trigger.decide(written(text))


def test_nothing_is_rare_in_an_empty_index(tmp_path: Path) -> None:
    empty = IndexDirectory(IndexSpec(path=str(tmp_path / "empty"), dense=None, ngrams=NgramsSpec()))
    with empty.writer(None) as writer:
        writer.commit()
    assert Quantile(0.5, LocalCounts(empty), empty).value() == 0
