"""Dynamic retrieval as a pipeline file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.config.problems import InvalidConfigError
from rag.errors import ConfigError
from rag.pipeline.spec import PipelineSpec, load_spec
from rag.registry import names
from rag.testing import ScriptedModel, sample
from rag.trigger.simple_specs import AlwaysSpec, AnySpec, NotSpec
from rag.trigger.specs import BUILT_IN, BUILT_IN_QUERY_BUILDERS
from rag.trigger.token_specs import DraginSpec, FlareSpec
from rag.trigger.trigger_spec import TriggerSpec

SERVED = "llm={use: openai, base_url: 'http://localhost:1/v1', model: m}"
WRITTEN = "ask.generate={use: llm}"
COUNTED = "ingest.index.ngrams={}"


def spec(dynamic: str, *more: str) -> PipelineSpec:
    return load_spec("hybrid", overrides=[f"ask.dynamic={dynamic}", *more]).spec


def test_retrieval_is_not_dynamic_by_default() -> None:
    assert PipelineSpec().ask.dynamic is None


def test_triggers_nest_and_come_back_from_yaml() -> None:
    text = "{trigger: {use: any, of: [{use: not, of: {use: always}}, {use: flare, threshold: 0.7}]}, rounds: 3}"
    read = spec(text, SERVED, WRITTEN)
    assert read.ask.dynamic is not None
    parts = (NotSpec(of=AlwaysSpec()), FlareSpec(threshold=0.7))
    assert read.ask.dynamic.trigger == AnySpec(of=parts)
    assert read.ask.dynamic.rounds == 3
    assert PipelineSpec.from_yaml(read.to_yaml()) == read


@pytest.mark.parametrize(
    ("dynamic", "more", "problem"),
    [
        ("{trigger: {use: flare}}", (), "asks a language model, the pipeline names none"),
        ("{trigger: {use: flare}}", (SERVED,), "looks at how the language model writes, ask.generate is 'extractive'"),
        ("{trigger: {use: any, of: [{use: always}, {use: flare}]}}", (SERVED,), "looks at how the language model"),
        ("{trigger: {use: dragin}}", (SERVED, WRITTEN), "reads a model's attention"),
        ("{trigger: {use: margin}}", (), "would search for the same again"),
        ("{trigger: {use: margin, elsewhere: true}}", (), "there is no second source"),
        ("{trigger: {use: never}}", (), "abstains from every answer"),
        ("{trigger: {use: never}}", (SERVED, WRITTEN), "abstains from every answer"),
        ("{trigger: {use: quco}}", (SERVED, WRITTEN, COUNTED), "'quco' may retrieve nothing"),
        ("{trigger: {use: popularity}}", (COUNTED,), "'popularity' may retrieve nothing"),
        ("{trigger: {use: self-rag-prompted}}", (SERVED, WRITTEN), "'self-rag-prompted' may retrieve nothing"),
        ("{trigger: {use: adaptive, parametric: true}}", (SERVED, WRITTEN), "'adaptive' may retrieve nothing"),
        ("{trigger: {use: crag-llm}}", (), "asks a language model"),
        ("{trigger: {use: crag-scores, upper: 1, lower: 2}}", (), "lower (2) is above upper (1)"),
        ("{trigger: {use: always}, query: {use: llm-asked}}", (), "asks a language model"),
        ("{trigger: {use: flair}}", (SERVED, WRITTEN), "did you mean 'flare'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(dynamic: str, more: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InvalidConfigError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        spec(dynamic, *more)


@pytest.mark.parametrize("use", ["never", "quco", "popularity", "self-rag-prompted", "adaptive, parametric: true"])
def test_what_may_retrieve_nothing_is_accepted_where_the_model_may_answer_without_evidence(use: str) -> None:
    answering = "ask.generate={use: llm, without_evidence: answer}"
    assert spec(f"{{trigger: {{use: {use}}}}}", SERVED, COUNTED, answering).ask.dynamic


def test_rules_of_adaptive_retrieval_retrieve_once_at_least_unless_told_otherwise() -> None:
    assert spec("{trigger: {use: adaptive}}", SERVED, WRITTEN).ask.dynamic


def test_every_trigger_and_query_builder_is_in_the_registry() -> None:
    assert list(names("trigger", plugins=False)) == [made.model_fields["use"].default for made in BUILT_IN]
    assert list(names("query", plugins=False)) == [
        "auto",
        "sentence",
        "masked",
        "draft",
        "question+draft",
        "new-names",
        "llm-asked",
    ]


OPTIONS: dict[str, dict[str, object]] = {
    "any": {"of": ({"use": "always"},)},
    "all": {"of": ({"use": "always"},)},
    "not": {"of": {"use": "always"}},
    "crag": {"upper": 1, "lower": 0},
    "crag-scores": {"upper": 1, "lower": 0},
    "attention-score": {"threshold": 1.0},
}


class Reading(ScriptedModel):
    def read(self, text: str, *, layers: object = (-1,)) -> object:
        raise AssertionError("building reads nothing")


@pytest.mark.parametrize("made", BUILT_IN, ids=lambda made: made.__name__)
def test_every_trigger_can_be_built_and_asks_nobody_while_it_is(made: type[TriggerSpec], tmp_path: Path) -> None:
    prompts = {path.stem: path.read_text() for path in (Path(__file__).parents[2] / "prompts").glob("*.md")}
    model = Reading()
    with sample(tmp_path, prompts=prompts, llm=model) as indexed:
        built = made.model_validate(OPTIONS.get(made.model_fields["use"].default, {})).build(indexed.resources)
        assert built.moments
        assert isinstance(built.reads_tokens, bool)
    assert model.asked == []


@pytest.mark.parametrize("made", BUILT_IN_QUERY_BUILDERS, ids=lambda made: made.__name__)
def test_every_query_builder_can_be_built(made, tmp_path: Path) -> None:
    prompts = {"trigger-query": "{question}{draft}{sentence}"}
    with sample(tmp_path, prompts=prompts, llm=ScriptedModel()) as indexed:
        assert callable(made().build(indexed.resources).build)


def test_a_model_that_shows_no_attention_is_refused_when_built(tmp_path: Path) -> None:
    with (
        sample(tmp_path, llm=ScriptedModel()) as indexed,
        pytest.raises(ConfigError, match="does not show what it attends to"),
    ):
        DraginSpec().build(indexed.resources)
