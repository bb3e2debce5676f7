from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from rag import Components, Pipeline
from rag.cite.base import Cited
from rag.config.problems import InvalidConfigError
from rag.errors import ConfigError, ModelError
from rag.evaluate.explain import explain
from rag.events import Answered, Retracted, Wrote
from rag.generate.abstain import SENTENCE
from rag.pipeline.doubt import ByBounds, ByWeights, of_citations, of_ranking, of_tokens
from rag.pipeline.spec import PipelineSpec
from rag.testing import ScriptedModel
from rag.types import Chunk, Citation, Ranking, ScoredChunk, Span, Support, Token, Verdict

Make = Callable[..., Pipeline]
LLM = ("llm={use: given}", "ask.generate={use: llm}")
VASA = "The Vasa sank in 1628 [1]."
WRONG = "It flew to Oslo in 1955 [1]."


class InTurn(ScriptedModel):
    """One request after the other, so that replies have the order of the script."""

    window, concurrency = 8192, 1

    def count(self, text: str) -> int:
        return len(text.split())


def cited(*verdicts: Verdict | None, uncited: int = 0) -> Cited:
    supports = [None if verdict is None else Support(verdict=verdict, words=1.0) for verdict in verdicts]
    citations = tuple(Citation(at, at + 1, (1,), support=support) for at, support in enumerate(supports))
    return Cited("", citations, uncited=tuple((at, at + 1) for at in range(uncited)))


def ranking(*scores: float) -> Ranking:
    made = [Chunk(span=Span(str(at), 0, 1), text="a") for at in range(len(scores))]
    return Ranking.of([ScoredChunk(chunk, score, "test") for chunk, score in zip(made, scores, strict=True)])


# ---- signals


def test_support_is_the_share_of_stating_sentences_that_a_cited_source_supports() -> None:
    assert of_citations(cited("supported", "weak", uncited=2)) == {"support": 0.25}
    assert of_citations(cited()) == {"support": 0.0}


def test_support_that_nobody_checked_is_no_signal() -> None:
    assert of_citations(cited("supported", None)) == {}


def test_tokens_give_the_means_of_what_is_known_of_them() -> None:
    tokens = [Token("Par", -0.5, 1.0), Token("is", -0.1, 0.0), Token("")]
    assert of_tokens(tokens) == {"logprob": pytest.approx(-0.3), "entropy": 0.5}
    assert of_tokens([]) == {}


def test_a_model_that_gives_no_probabilities_is_an_error_where_they_are_read() -> None:
    with pytest.raises(ModelError, match="logprob"):
        of_tokens([Token("Paris")])


def test_a_ranking_gives_its_best_score_and_its_lead() -> None:
    assert of_ranking(ranking(5.0, 4.0, 1.0)) == {"score": 5.0, "margin": 0.25}
    assert of_ranking(ranking()) == {}


# ---- rules


def test_two_of_three_signals_have_to_doubt() -> None:
    rule = ByBounds({"agreement": 0.4, "support": 0.5, "entropy": 1.0}, doubts=2)
    assert not rule.judge({"agreement": 0.2, "support": 0.5, "entropy": 1.0}).abstains
    verdict = rule.judge({"agreement": 0.2, "support": 0.9, "entropy": 1.5})
    assert (verdict.abstains, verdict.reason) == (True, "in-doubt: agreement 0.20 < 0.4, entropy 1.50 > 1")


def test_a_signal_that_could_not_be_measured_doubts() -> None:
    verdict = ByBounds({"score": 0.1}, doubts=1).judge({})
    assert verdict.reason == "in-doubt: score unknown < 0.1"
    assert ByWeights({"score": 1.0}, least=0.2).judge({}).abstains
    assert not ByWeights({"score": 1.0}, least=0.0).judge({}).abstains


def test_weights_withhold_below_a_probability() -> None:
    rule = ByWeights({"agreement": 5.0, "support": 1.0}, bias=-4.0, least=0.5)
    assert not rule.judge({"agreement": 0.6, "support": 1.0}).abstains  # log-odds 0
    verdict = rule.judge({"agreement": 0.4, "support": 0.0})  # log-odds -2: .1192
    assert verdict.reason == "in-doubt: right with 0.12 < 0.5, by agreement 0.40, support 0.00"


# ---- in a pipeline


def asking(make: Make, replies: Sequence[str | Sequence[Token]], *overrides: str) -> Pipeline:
    pipeline = make(*LLM, *overrides, components=Components(llm=InTurn(replies)))
    pipeline.ingest()
    return pipeline


def test_an_answer_that_two_signals_doubt_is_withheld_and_says_which(make: Make) -> None:
    pipeline = asking(
        make,
        [WRONG, "Rome [1].", "Bergen [1]."],
        "ask.generate.samples={count: 3}",
        "ask.abstain={bounds: {agreement: 0.4, support: 0.5}}",
    )
    answer = pipeline.ask("When did the Vasa sink?")
    assert (answer.text, answer.abstained, answer.citations) == (SENTENCE, True, ())
    assert answer.reason == "in-doubt: agreement 0.33 < 0.4, support 0.00 < 0.5"
    assert answer.signals == {"agreement": pytest.approx(1 / 3), "support": 0.0}
    assert answer.evidence
    assert answer.usage.requests == 3
    record = answer.trace.stages[-1]
    assert (record.stage, record.use, record.notes["support"]) == ("abstain", "bounds", 0.0)


def test_an_answer_that_one_signal_doubts_stands_where_two_have_to(make: Make) -> None:
    pipeline = asking(
        make,
        [VASA, "Rome [1].", "Bergen [1]."],
        "ask.generate.samples={count: 3}",
        "ask.abstain={bounds: {agreement: 0.4, support: 0.5}}",
    )
    answer = pipeline.ask("When did the Vasa sink?")
    assert (answer.text, answer.abstained, answer.reason) == (VASA, False, "")
    assert answer.signals["support"] == 1.0


def test_log_probabilities_are_asked_for_where_they_are_read(make: Make) -> None:
    reply = [Token("The Vasa sank in 1628 [1].", -2.0, 1.5)]
    pipeline = asking(make, [reply], "ask.abstain={bounds: {logprob: -1, entropy: 1}}")
    answer = pipeline.ask("When did the Vasa sink?")
    assert answer.reason == "in-doubt: logprob -2.00 < -1, entropy 1.50 > 1"


def test_a_withheld_answer_is_taken_back_from_the_stream_and_was_provisional(make: Make) -> None:
    pipeline = asking(make, [WRONG], "ask.abstain={bounds: {support: 0.5}, doubts: 1}")
    events = list(pipeline.stream(["When did the Vasa sink?"]))
    wrote = [event for event in events if isinstance(event, Wrote)]
    assert all(event.provisional for event in wrote[:-1])
    taken_back = next(at for at, event in enumerate(events) if isinstance(event, Retracted))
    assert events[taken_back:-1] == [Retracted(0, 0), Wrote(0, SENTENCE)]
    assert isinstance(events[-1], Answered)
    assert events[-1].answer.abstained


def test_an_answer_that_the_generator_does_not_give_is_not_judged(make: Make) -> None:
    pipeline = asking(make, ["NOT_IN_SOURCES"], "ask.abstain={bounds: {support: 0.5}, doubts: 1}")
    assert pipeline.ask("When did the Vasa sink?").reason == "not-in-sources"


def test_after_dynamic_retrieval_an_answer_is_judged_once_at_its_end(make: Make) -> None:
    pipeline = asking(
        make,
        [WRONG, WRONG, WRONG],
        "ask.dynamic={trigger: {use: iter-retgen}}",
        "ask.abstain={bounds: {support: 0.5}, doubts: 1}",
    )
    events = list(pipeline.stream(["When did the Vasa sink?"]))
    assert isinstance(events[-1], Answered)
    assert events[-1].answer.reason == "in-doubt: support 0.00 < 0.5"
    assert [event.text for event in events if isinstance(event, Wrote) and not event.provisional] == [SENTENCE]


def test_quotes_can_be_doubted_by_their_confidence_and_the_ranking(make: Make) -> None:
    pipeline = make(
        "ask.abstain={bounds: {confidence: 1.0, margin: 1.0}}", "ask.generate={use: extractive, threshold: 0}"
    )
    pipeline.ingest()
    answer = pipeline.ask("When did the Vasa sink?")
    assert answer.abstained
    assert set(answer.signals) == {"confidence", "margin"}


def test_an_answer_in_a_schema_is_refused(make: Make) -> None:
    pipeline = asking(make, [], "ask.abstain={bounds: {support: 0.5}, doubts: 1}")
    with pytest.raises(ConfigError, match=r"ask\.abstain"):
        pipeline.ask("?", schema={"type": "object"})


def test_an_explanation_sees_the_probabilities_that_the_answer_was_judged_by(make: Make) -> None:
    reply = [Token("The Vasa sank in 1628 [1].", -2.0, 1.5)]
    pipeline = asking(make, [reply] * 40, "ask.abstain={bounds: {logprob: -1}, doubts: 1}")
    explained = explain(pipeline, "When did the Vasa sink?", answers=True)
    assert explained.answer == SENTENCE
    assert [step.stage for step in explained.steps][-1] == "abstain"


# ---- validation


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ("abstain: {}", "either `bounds` or `weights`"),
        ("abstain: {bounds: {support: 0.5}, weights: {support: 1}}", "either `bounds` or `weights`"),
        ("abstain: {bounds: {}}", "no signal is set"),
        ("abstain: {bounds: {support: 0.5}}", "2 signals have to doubt, 1 is set"),
        ("abstain: {bounds: {support: 50}, doubts: 1}", "expected at most 1.0"),
        ("abstain: {bounds: {luck: 0.5}, doubts: 1}", "luck"),
        ("abstain: {bounds: {support: 0.5}, doubts: 1}\n  cite: {use: markers}", "checks no support"),
        ("abstain: {bounds: {agreement: 0.5}, doubts: 1}", "does not give this as it is set"),
        ("abstain: {bounds: {agreement: 0.5}, doubts: 1}\n  generate: {use: llm}", "set its `samples`"),
        ("abstain: {bounds: {confidence: 0.5}, doubts: 1}\n  generate: {use: llm}", "does not give this"),
        ("abstain: {bounds: {logprob: -1}, doubts: 1}", "of what a language model writes"),
        (
            "abstain: {bounds: {entropy: 1}, doubts: 1}\n  generate: {use: llm}\n"
            "  dynamic: {trigger: {use: iter-retgen}}",
            "written in pieces",
        ),
        (
            "abstain: {weights: {score: 1}}\n  generate: {use: llm, without_evidence: answer}\n"
            "  dynamic: {trigger: {use: never}}",
            "no ranking then",
        ),
    ],
)
def test_a_rule_whose_signals_the_pipeline_cannot_give_is_refused(ask: str, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        PipelineSpec.from_yaml(f"version: 1\nllm: {{use: given}}\nask:\n  {ask}\n")


def test_token_signals_need_a_language_model_that_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag.models.specs import GivenSpec

    monkeypatch.setattr(GivenSpec, "offers", frozenset({"text"}))
    with pytest.raises(InvalidConfigError, match="'given' does not show how probable"):
        PipelineSpec.from_yaml(
            "version: 1\nllm: {use: given}\nask:\n  generate: {use: llm}\n"
            "  abstain: {bounds: {logprob: -1}, doubts: 1}\n"
        )
