"""Every transform that ships, with its own prompt, against the contract of the stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rag import library
from rag.models.llm import AS_SET, Completion, Json, Message, Sampling
from rag.query.specs import BUILT_IN, AskingSpec, BanditSpec, QueryTransformSpec
from rag.testing import QUESTIONS, Sample, ScriptedModel, check_transform, sample
from rag.types import Query, Usage


class Obliging(ScriptedModel):
    """Answers what its schema asks for, in as few words as will do; without one, a sentence."""

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        self.asked.append(tuple(messages))
        text = "Dogs bark." if sampling.schema is None else json.dumps(filled(dict(sampling.schema)))
        return Completion(text, Usage(1, 1, 1))


def filled(schema: Json, name: str = "") -> Json:
    assert isinstance(schema, dict)
    match schema.get("type"):
        case "object":
            properties = schema["properties"]
            assert isinstance(properties, dict)
            return {key: filled(value, key) for key, value in properties.items()}
        case "array":
            return [] if name == "depends_on" else [filled(schema["items"])]
        case "string":
            return "another question"
        case _:
            return 1


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    names = [str(spec.model_fields["prompt"].default) for spec in BUILT_IN if issubclass(spec, AskingSpec)]
    prompts = {name: library.read("prompts", name) for name in [*names, "gencrf-group"]}
    with sample(tmp_path_factory.mktemp("sample"), prompts=prompts, llm=Obliging([])) as made:
        yield made


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the bandit keeps its state


@pytest.mark.usefixtures("own_directory")
@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.__name__)
def test_a_transform_keeps_its_contract(spec: type[QueryTransformSpec], indexed: Sample) -> None:
    check_transform(spec().build(indexed.resources))


@pytest.mark.usefixtures("own_directory")
@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.__name__)
def test_what_says_that_it_makes_one_query_makes_one_and_good_replies_are_not_counted_as_malformed(
    spec: type[QueryTransformSpec], indexed: Sample
) -> None:
    made = (
        spec()
        .build(indexed.resources)
        .transform([Query(text=text, history=(("Do dogs bark?", "Yes."),)) for text in QUESTIONS])
    )
    assert all(not rewritten.notes.get("malformed") for rewritten in made)
    if not spec().several:
        assert [len(rewritten.queries) for rewritten in made] == [1] * len(QUESTIONS)


@pytest.mark.usefixtures("own_directory")
def test_a_bandit_that_always_rewrites_keeps_the_contract(indexed: Sample) -> None:
    check_transform(BanditSpec(arms=("expand", "simplify")).build(indexed.resources))
