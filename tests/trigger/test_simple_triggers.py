"""Triggers by scores, by probabilities and by the answer itself, and their combinations."""

from __future__ import annotations

from math import log

import pytest

from rag.errors import BackendError, ModelError
from rag.models.template import Template
from rag.testing import ScriptedModel, check_query_builder, check_trigger
from rag.testing.triggers import MOMENTS
from rag.trigger.asking import Asker
from rag.trigger.base import Decision, Finished, Found, Moment, MomentName, SpendingQueryBuilder, Written
from rag.trigger.combined import AllOf, AnyOf, Not
from rag.trigger.flare import Flare
from rag.trigger.iter_retgen import IterRetGen
from rag.trigger.llm_query import LlmAsked
from rag.trigger.margin import Margin, margin
from rag.trigger.plain import Always, Never
from rag.trigger.queries import Auto, NewNames, Sentence, WholeDraft
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span, Token

QUESTION = Query(text="Where did A meet B?")


def written(*tokens: tuple[str, float | None], draft: str = "") -> Written:
    made = tuple(Token(text, None if p is None else log(p)) for text, p in tokens)
    text = "".join(token.text for token in made)
    return Written(query=QUESTION, draft=draft, sentence=text, tokens=made, evidence=(), round=1)


def found(*scores: float, elsewhere: bool = False) -> Found:
    hits = [ScoredChunk(Chunk(span=Span("d", at, at + 1), text="x"), score, "o") for at, score in enumerate(scores)]
    return Found(query=QUESTION, ranking=Ranking.of(hits), round=1, elsewhere=elsewhere)


A_MET_B = (("A", 0.95), (" met", 0.9), (" B", 0.7), (" Paris", 0.3))


@pytest.mark.parametrize(
    "trigger",
    [Always(), Never(), Margin(), Margin(elsewhere=True, least_score=0.5), Flare(), IterRetGen()],
    ids=lambda trigger: type(trigger).__name__,
)
def test_a_trigger_keeps_its_contract(trigger) -> None:
    check_trigger(trigger)
    check_trigger(AnyOf([("one", trigger), ("never", Never())]))
    check_trigger(AllOf([("one", trigger)]))
    check_trigger(Not(trigger))


# ---- FLARE


def test_flare_looks_up_a_sentence_with_an_improbable_token_without_that_token() -> None:
    moment = written(*A_MET_B)
    decision = Flare(threshold=0.8, mask=0.4).decide(moment)
    assert decision.retrieve
    assert decision.numbers["least"] == pytest.approx(0.3)
    assert decision.doubts == ((7, 13),)
    assert [query.text for query in Auto().build(moment, decision)] == ["A met B"]


def test_flare_accepts_a_sentence_of_which_every_token_is_more_probable() -> None:
    decision = Flare(threshold=0.8).decide(written(("A", 0.95), (" met", 0.81), (" B.", 0.9)))
    assert not decision.retrieve
    assert Flare(threshold=0.81).decide(written(("A", 0.95), (" met", 0.81 - 1e-9))).retrieve


def test_flare_asks_for_nothing_where_every_word_is_masked() -> None:
    moment = written(("Paris", 0.1), (" Rome", 0.2))
    decision = Flare().decide(moment)
    assert decision.retrieve
    assert Auto().build(moment, decision) == []


def test_flare_masks_whole_words_where_half_of_one_is_improbable() -> None:
    moment = written(("In", 0.9), (" Gam", 0.9), ("la", 0.2), (" stan", 0.9), (".", 0.9))
    assert [query.text for query in Auto().build(moment, Flare().decide(moment))] == ["In stan."]


def test_flare_does_not_look_at_the_probability_of_citation_markers_and_stops() -> None:
    moment = written(("A", 0.9), (" met", 0.9), (" B", 0.9), (".", 0.01), (" [", 0.1), ("2", 0.1), ("]", 0.1))
    assert not Flare().decide(moment).retrieve


def test_flare_says_so_where_the_generator_gives_no_probabilities() -> None:
    with pytest.raises(ModelError, match="does not say how probable"):
        Flare().decide(written(("A", None)))


# ---- margin, Iter-RetGen


def test_the_margin_is_the_lead_as_a_share_of_the_distance_to_the_last() -> None:
    assert margin(found(1.0, 0.75, 0.5, 0.0).ranking) == 0.25
    assert margin(found(0.3).ranking) == 1.0
    assert margin(found(0.3, 0.3).ranking) == 0.0


def test_a_best_chunk_that_hardly_leads_or_scores_low_is_searched_for_again() -> None:
    assert not Margin(least=0.2).decide(found(1.0, 0.75, 0.0)).retrieve
    assert Margin(least=0.3).decide(found(1.0, 0.75, 0.0)).retrieve
    assert Margin(least=0.2, least_score=2.0).decide(found(1.0, 0.75, 0.0)).retrieve
    assert Margin().decide(found()).retrieve


def test_what_came_from_the_second_source_is_taken_as_it_is() -> None:
    assert Margin(elsewhere=True).decide(found(1.0, 1.0)).elsewhere
    assert not Margin(elsewhere=True).decide(found(1.0, 1.0, elsewhere=True)).retrieve
    assert not Margin(elsewhere=True).decide(found(elsewhere=True)).retrieve


def test_iter_retgen_asks_with_the_answer_and_then_the_question_until_its_rounds_are_done() -> None:
    moment = Finished(query=Query(text="q"), draft="x [1]", evidence=(), round=1)
    decision = IterRetGen(rounds=2).decide(moment)
    assert decision.retrieve
    assert decision.keep == 0
    assert [query.text for query in Auto().build(moment, decision)] == ["x q"]
    assert not IterRetGen(rounds=2).decide(Finished(query=Query(text="q"), draft="x", evidence=(), round=2)).retrieve


def test_iter_retgen_does_not_ask_with_the_words_of_an_abstention() -> None:
    moment = Finished(query=Query(text="q"), draft="", evidence=(), round=1, abstained=True)
    assert not IterRetGen().decide(moment).retrieve


# ---- combinations


class Fixed:
    reads_tokens = False

    def __init__(self, retrieve: bool, *moments: MomentName, number: int = 1) -> None:
        self.retrieve = retrieve
        self.moments = frozenset(moments or ("written",))
        self.number = number
        self.asked = 0

    def decide(self, moment: Moment) -> Decision:
        self.asked += 1
        return Decision(retrieve=self.retrieve, why=str(self.retrieve), numbers={"n": self.number})


def test_any_stops_asking_at_the_first_yes_and_takes_its_reason() -> None:
    no, yes, last = Fixed(False), Fixed(True, number=2), Fixed(True)
    decision = AnyOf([("no", no), ("yes", yes), ("last", last)]).decide(written(("A", 1.0)))
    assert decision.retrieve
    assert decision.why == "yes: True"
    assert decision.numbers == {"n": 1, "yes.n": 2}
    assert last.asked == 0


def test_all_stops_asking_at_the_first_no() -> None:
    last = Fixed(True)
    assert not AllOf([("yes", Fixed(True)), ("no", Fixed(False)), ("last", last)]).decide(written(("A", 1.0))).retrieve
    assert last.asked == 0
    assert AllOf([("yes", Fixed(True)), ("also", Fixed(True))]).decide(written(("A", 1.0))).retrieve


def test_those_that_do_not_speak_at_a_moment_are_not_asked() -> None:
    at_end = Fixed(False, "finished")
    both = AllOf([("end", at_end), ("yes", Fixed(True))])
    assert both.moments == {"finished", "written"}
    assert both.decide(written(("A", 1.0))).retrieve
    assert at_end.asked == 0


class Says:
    """Decides as told, at every moment."""

    moments: frozenset[MomentName] = frozenset({"found", "written"})
    reads_tokens = False

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(self, moment: Moment) -> Decision:
        return self.decision


REFINED = Ranking((ScoredChunk(Chunk(span=Span("d", 0, 1), text="x"), 1.0, "given"),))


@pytest.mark.parametrize("retrieves", [False, True])
def test_what_one_part_refined_is_not_undone_by_the_next(retrieves: bool) -> None:
    refines = Says(Decision(retrieve=False, found=REFINED))
    decision = AnyOf([("crag", refines), ("margin", Says(Decision(retrieve=retrieves)))]).decide(found(0.5))
    assert (decision.retrieve, decision.found) == (retrieves, REFINED)


@pytest.mark.parametrize(("retrieves", "kept"), [(True, Ranking()), (False, None)])
def test_what_a_part_drops_in_order_to_retrieve_is_dropped_if_all_retrieve(
    retrieves: bool, kept: Ranking | None
) -> None:
    drops = Says(Decision(retrieve=True, elsewhere=True, found=Ranking()))
    decision = AllOf([("crag", drops), ("margin", Says(Decision(retrieve=retrieves, elsewhere=True)))]).decide(
        found(0.5)
    )
    assert (decision.retrieve, decision.found) == (retrieves, kept)


@pytest.mark.parametrize("retrieves", [False, True])
def test_an_answer_that_one_part_ends_ends_unless_another_retrieves(retrieves: bool) -> None:
    ends = Says(Decision(retrieve=False, stop=True, keep=0))
    decision = AnyOf([("quco", ends), ("flare", Says(Decision(retrieve=retrieves)))]).decide(written(("A", 1.0)))
    assert (decision.retrieve, decision.stop) == (retrieves, not retrieves)
    assert retrieves or decision.keep == 0


def test_what_parts_spend_is_summed() -> None:
    spends = Says(Decision(retrieve=False, numbers={"requests": 1, "prompt_tokens": 5, "segment": 0.5}))
    decision = AnyOf([("one", spends), ("other", spends)]).decide(written(("A", 1.0)))
    assert decision.numbers == {"requests": 2, "prompt_tokens": 10, "segment": 0.5, "other.segment": 0.5}


def test_not_turns_a_decision_around() -> None:
    assert not Not(Fixed(True)).decide(written(("A", 1.0))).retrieve
    assert Not(Fixed(False)).decide(written(("A", 1.0))).retrieve


def test_a_combination_reads_tokens_if_a_part_of_it_does() -> None:
    assert AnyOf([("always", Always()), ("flare", Flare())]).reads_tokens
    assert Not(Flare()).reads_tokens
    assert not AllOf([("always", Always())]).reads_tokens


# ---- query builders


@pytest.mark.parametrize(
    "builder",
    [
        Auto(),
        Sentence(masked=True),
        Sentence(masked=False),
        WholeDraft(question=True),
        WholeDraft(question=False),
        NewNames(),
    ],
    ids=["auto", "masked", "sentence", "question+draft", "draft", "new-names"],
)
def test_a_query_builder_keeps_its_contract(builder) -> None:
    check_query_builder(builder)


def test_what_the_trigger_knows_to_ask_goes_first() -> None:
    decision = Decision(retrieve=True, queries=("Vasa captain", "Vasa builder"))
    queries = Auto().build(written(("The Vasa sank.", 1.0)), decision)
    assert [query.text for query in queries] == ["Vasa captain", "Vasa builder"]


def test_markers_are_no_part_of_a_query() -> None:
    moment = written((" It sank. [12]", 1.0), draft="The Vasa was big. [1]")
    assert [query.text for query in Sentence(masked=False).build(moment, Decision(retrieve=True))] == ["It sank."]
    queries = WholeDraft(question=True).build(moment, Decision(retrieve=True))
    assert [query.text for query in queries] == ["The Vasa was big. It sank. Where did A meet B?"]


def test_names_that_the_question_does_not_have_are_searched_one_by_one() -> None:
    draft = "Polish-Russian War is a film directed by Xawery Zulawski. [1] It was based on a novel by Dorota Maslowska."
    moment = Finished(query=Query(text="Who directed Polish-Russian War?"), draft=draft, evidence=(), round=1)
    queries = NewNames(most=3).build(moment, Decision(retrieve=True))
    assert [query.text for query in queries] == ["Xawery Zulawski", "Dorota Maslowska"]
    assert len(NewNames(most=1).build(moment, Decision(retrieve=True))) == 1


def test_without_a_new_name_nothing_is_asked() -> None:
    moment = Finished(query=QUESTION, draft="A met B in a town.", evidence=(), round=1)
    assert NewNames().build(moment, Decision(retrieve=True)) == []


def asked(*replies: str) -> LlmAsked:
    fields = {"question", "draft", "sentence"}
    template = Template.parse("Q {question} D {draft} S {sentence}", name="t", fields=fields)
    return LlmAsked(Asker(ScriptedModel(replies), template, {"query": {"type": "string"}}))


def test_the_model_words_a_query_from_question_draft_and_sentence() -> None:
    builder = asked('{"query": "meeting of A and B"}')
    moment = written((" They met in Rome. [1]", 1.0), draft="A knew B.")
    assert [query.text for query in builder.build(moment, Decision(retrieve=True))] == ["meeting of A and B"]
    model = builder.asker.model
    assert isinstance(model, ScriptedModel)
    assert model.asked[0][0].content == "Q Where did A meet B? D A knew B. S They met in Rome."


@pytest.mark.parametrize("reply", ["no JSON", "{}", '{"query": ""}', '{"query": 3}'])
def test_a_reply_that_is_no_query_is_a_failure(reply: str) -> None:
    with pytest.raises(BackendError, match="no query"):
        asked(reply).build(written(("A.", 1.0)), Decision(retrieve=True))


def test_the_query_of_a_model_keeps_filter_and_access() -> None:
    check_query_builder(asked(*['{"query": "dogs"}'] * 2 * len(MOMENTS)))


def test_what_the_model_s_query_cost_is_told() -> None:
    builder = asked('{"query": "A and B"}')
    queries, spent = builder.build_counted(written(("A", 1.0)), Decision(retrieve=True))
    assert isinstance(builder, SpendingQueryBuilder)
    assert [query.text for query in queries] == ["A and B"]
    assert spent["requests"] == 1
