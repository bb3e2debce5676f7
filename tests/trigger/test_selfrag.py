"""Self-RAG: the published scores, the checkpoint's tokens and the prompted approximation."""

from __future__ import annotations

from math import log

import pytest

from rag.errors import BackendError
from rag.models.template import Template
from rag.testing import ScriptedModel, check_trigger
from rag.trigger.asking import Asker
from rag.trigger.base import Asked, Found, Written
from rag.trigger.selfrag import Opinion, SelfRag
from rag.trigger.selfrag_critics import Prompted, ReflectionTokens
from rag.trigger.selfrag_scores import segment, share, support, utility
from rag.types import Chunk, Evidence, Query, Ranking, ScoredChunk, Span, Token, Usage

QUERY = Query(text="Do dogs bark?")


def hit(text: str) -> ScoredChunk:
    return ScoredChunk(Chunk(span=Span(text, 0, len(text)), text=text), 1.0, "given")


def written(sentence: str, *passages: str, draft: str = "") -> Written:
    evidence = tuple(Evidence(span=Span(text, 0, len(text)), text=text, score=1, chunk_id=text) for text in passages)
    return Written(query=QUERY, draft=draft, sentence=sentence, tokens=(Token(sentence),), evidence=evidence, round=1)


# ---- scores


def test_retrieve_at_three_in_ten_is_above_the_published_threshold() -> None:
    assert share(0.3, 0.7) == pytest.approx(0.3)
    assert share(0.3, 0.7) > 0.2


def test_a_model_that_is_90_percent_sure_retrieves_and_does_not_as_in_the_released_code_keep_from_it() -> None:
    released = log(0.9) / (log(0.9) + log(0.1))
    assert released == pytest.approx(0.0438, abs=1e-4)
    assert released < 0.2  # the published bug: log-probabilities divided as though they were probabilities
    assert share(0.9, 0.1) > 0.2


def test_support_counts_partial_support_half() -> None:
    assert support(0.5, 0.25, 0.25) == 0.625
    assert support(0.25, 0.125, 0.125) == 0.625
    assert support(0, 0, 0) == 0


def test_utility_maps_marks_to_minus_one_to_one() -> None:
    marks = [[float(mark == at) for mark in range(5)] for at in range(5)]
    assert [utility(each) for each in marks] == [-1, -0.5, 0, 0.5, 1]


def test_a_segment_weighs_relevance_and_support_once_and_utility_half() -> None:
    assert segment(relevance=0.5, support=0.625, utility=0.75) == 1.5


# ---- decisions


class Critic:
    """Wants `wish`; finds relevant and supporting what has the word "bark"."""

    def __init__(self, wish: float) -> None:
        self.wish = wish

    def retrieve(self, question: str, draft: str) -> Opinion:
        return Opinion(self.wish, Usage(10, 1, 1))

    def relevance(self, question: str, draft: str, passage: str) -> Opinion:
        return Opinion(0.9 if "bark" in passage else 0.1, Usage(10, 1, 1))

    def support(self, question: str, passage: str, sentence: str) -> Opinion:
        return Opinion(1.0 if "bark" in passage and "bark" in sentence else 0.0, Usage(10, 1, 1))

    def utility(self, question: str, passage: str, sentence: str) -> Opinion:
        return Opinion(0.5, Usage(10, 1, 1))


def test_before_writing_it_retrieves_if_the_critic_wants_to() -> None:
    assert SelfRag(Critic(0.3)).decide(Asked(query=QUERY)).retrieve
    assert not SelfRag(Critic(0.2)).decide(Asked(query=QUERY)).retrieve


def test_irrelevant_passages_are_dropped_but_for_the_best() -> None:
    ranking = Ranking((hit("cats"), hit("dogs bark"), hit("owls")))
    decision = SelfRag(Critic(0.0)).decide(Found(query=QUERY, ranking=ranking, round=1))
    assert decision.found is not None
    assert [each.chunk.text for each in decision.found] == ["dogs bark"]
    assert decision.numbers["judged"] == 3
    only = SelfRag(Critic(0.0)).decide(Found(query=QUERY, ranking=Ranking((hit("owls"),)), round=1))
    assert only.found is not None
    assert len(only.found) == 1


def test_a_sentence_that_its_passages_do_not_support_is_written_anew() -> None:
    decision = SelfRag(Critic(0.0)).decide(written("Dogs sing. [1]", "dogs bark"))
    assert decision.retrieve
    assert decision.keep is None
    assert decision.why == "hardly supported"


def test_a_supported_sentence_stays_and_what_is_retrieved_is_for_the_next_one() -> None:
    sure = SelfRag(Critic(0.1)).decide(written("Dogs bark. [1]", "dogs bark"))
    assert not sure.retrieve
    assert sure.numbers["segment"] == pytest.approx(0.9 + 1.0 + 0.25)
    wants = SelfRag(Critic(0.9)).decide(written("Dogs bark. [1]", "dogs bark", draft="Yes."))
    assert wants.retrieve
    assert wants.keep == len("Yes.Dogs bark. [1]")
    assert wants.numbers["requests"] == 4


def test_self_rag_keeps_the_contract_of_triggers() -> None:
    check_trigger(SelfRag(Critic(0.5)))


# ---- critics


def test_the_checkpoint_is_asked_for_its_tokens_where_it_would_write_them() -> None:
    model = ScriptedModel(
        choices=[
            {"[Retrieval]": 0.3, "[No Retrieval]": 0.6},
            {"[Relevant]": 0.4, "[Irrelevant]": 0.1},
            {"[Fully supported]": 0.5, "[Partially supported]": 0.25, "[No support / Contradictory]": 0.25},
            {"[Utility:5]": 0.5, "[Utility:4]": 0.5},
        ]
    )
    critic = ReflectionTokens(model)
    assert critic.retrieve("q", "").value == pytest.approx(1 / 3)
    assert critic.relevance("q", "Yes.", "p").value == pytest.approx(0.8)
    assert critic.support("q", "p", "s").value == 0.625
    assert critic.utility("q", "p", "s").value == 0.75
    drafts = [messages[-1].content for messages in model.asked]
    assert drafts == [
        "q",
        "Yes.[Retrieval]<paragraph>p</paragraph>",
        "[Retrieval]<paragraph>p</paragraph>[Relevant]s",
        "[Retrieval]<paragraph>p</paragraph>[Relevant]s[Fully supported]",
    ]


def test_a_model_without_the_tokens_is_told_from_one_that_wants_nothing() -> None:
    with pytest.raises(BackendError, match="none of"):
        ReflectionTokens(ScriptedModel(choices=[{}])).retrieve("q", "")


def prompted(**replies: str) -> Prompted:
    def asker(name: str, reply: str) -> Asker:
        fields = {"question", "draft", "passage", "sentence"}
        return Asker(ScriptedModel([reply]), Template.parse("x", name=name, fields=fields), {name: {}})

    return Prompted({name: asker(name, reply) for name, reply in replies.items()})


def test_the_approximation_reads_words_and_marks() -> None:
    critic = prompted(
        retrieve='{"retrieve": true}',
        relevant='{"relevant": false}',
        support='{"support": "partial"}',
        useful='{"useful": 4}',
    )
    assert critic.retrieve("q", "").value == 1.0
    assert critic.relevance("q", "", "p").value == 0.0
    assert critic.support("q", "p", "s").value == 0.5
    assert critic.utility("q", "p", "s").value == 0.5


@pytest.mark.parametrize(
    ("name", "reply"),
    [("retrieve", '{"retrieve": "yes"}'), ("support", '{"support": "much"}'), ("useful", '{"useful": 6}')],
)
def test_an_answer_that_is_none_is_a_failure(name: str, reply: str) -> None:
    critic = prompted(**{name: reply})
    with pytest.raises(BackendError, match="expected"):
        {
            "retrieve": lambda: critic.retrieve("q", ""),
            "support": lambda: critic.support("q", "p", "s"),
            "useful": lambda: critic.utility("q", "p", "s"),
        }[name]()
