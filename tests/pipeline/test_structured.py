"""Answers in a schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from pydantic import BaseModel, Field

from rag import Answer, Components, Pipeline
from rag.errors import ConfigError, StructureError
from rag.testing import ScriptedModel


class Ship(BaseModel):
    name: str
    sank: int = Field(ge=1000)
    sources: list[int]


class Fleet(BaseModel):
    ships: list[Ship]


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "sources": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name"],
}
QUESTION = "When did the Vasa sink?"
Ask = Callable[..., Answer]


def reply(data: object, *, found: bool = True) -> str:
    return json.dumps({"found": found, "data": data})


def vasa(sank: int = 1628, sources: tuple[int, ...] = (1,)) -> dict[str, object]:
    return {"name": "the  vasa", "sank": sank, "sources": list(sources)}


@pytest.fixture
def ask(make: Callable[..., Pipeline]) -> Callable[..., tuple[Answer, ScriptedModel]]:
    def run(schema: object, *replies: str) -> tuple[Answer, ScriptedModel]:
        model = ScriptedModel(replies)
        pipeline = make("llm={use: given}", "ask.generate={use: llm}", components=Components(llm=model))
        pipeline.ingest()
        return pipeline.ask(QUESTION, schema=schema), model  # type: ignore[arg-type]  # what is wrong is refused

    return run


def test_the_answer_is_an_object_of_the_model_and_its_values_have_spans(ask) -> None:
    answer, model = ask(Ship, reply(vasa()))
    assert answer.data == Ship(name="the  vasa", sank=1628, sources=[1])
    assert json.loads(answer.text) == vasa()
    found = {field.path: field for field in answer.fields}
    text = answer.evidence[0].text
    for path, written in (("name", "The Vasa"), ("sank", "1628")):
        (span,) = found[path].spans
        assert found[path].quoted
        offset = answer.evidence[0].span.start
        assert text[span.start - offset : span.end - offset] == written
    assert model.samplings[0].schema is not None
    assert answer.usage.requests == 1
    assert answer.prompt.startswith("structured@")


def test_a_value_that_no_source_has_keeps_the_source_named_for_it(ask) -> None:
    answer, _ = ask(Ship, reply(vasa(sank=1700)))
    (sank,) = [field for field in answer.fields if field.path == "sank"]
    assert (sank.quoted, sank.evidence, sank.spans) == (False, (1,), (answer.evidence[0].span,))


def test_invented_sources_are_taken_out_and_counted(ask) -> None:
    answer, _ = ask(Fleet, reply({"ships": [vasa(sources=(1, 99)), vasa(sources=(-1,))]}))
    assert isinstance(answer.data, Fleet)
    assert [ship.sources for ship in answer.data.ships] == [[1], []]
    assert answer.dropped_citations == 2
    assert {field.path for field in answer.fields} >= {"ships.0.name", "ships.0.sank"}


def test_a_reply_that_does_not_fit_is_shown_to_the_model_once(ask) -> None:
    answer, model = ask(Ship, reply(vasa(sank=3)), reply(vasa()))
    assert answer.data == Ship(**vasa())
    assert answer.usage.requests == 2
    assert "data.sank: Input should be greater than or equal to 1000" in model.asked[1][-1].content
    assert model.asked[1][-2].content == reply(vasa(sank=3))


@pytest.mark.parametrize("wrong", ["The Vasa sank in 1628.", reply({"name": 3}), '{"data": {}}', "[]"])
def test_after_two_replies_that_do_not_fit_the_error_says_what_is_wrong(ask, wrong: str) -> None:
    with pytest.raises(StructureError, match="does not fit the schema"):
        ask(Ship, wrong, wrong)


def test_a_model_can_say_that_the_sources_do_not_tell(ask) -> None:
    answer, _ = ask(Ship, reply(None, found=False))
    assert (answer.abstained, answer.reason, answer.data) == (True, "not-in-sources", None)


def test_a_json_schema_gives_plain_json(ask) -> None:
    answer, model = ask(SCHEMA, reply({"name": 1}), reply({"name": "Vasa", "sources": [1]}))
    assert answer.data == {"name": "Vasa", "sources": [1]}
    assert "data.name: 1 is not of type 'string'" in model.asked[1][-1].content
    with pytest.raises(ConfigError, match="the schema of the answer"):
        ask({"type": "objekt"})


def test_an_extractive_generator_is_refused_with_the_reason(make: Callable[..., Pipeline]) -> None:
    pipeline = make()
    pipeline.ingest()
    with pytest.raises(ConfigError, match="'extractive' cannot answer in a schema: it quotes sentences"):
        pipeline.ask(QUESTION, schema=Ship)


def test_what_the_model_is_held_to_refers_to_its_definitions(ask) -> None:
    import jsonschema

    _, model = ask(Fleet, reply({"ships": []}))
    held = model.samplings[0].schema
    jsonschema.validate({"found": True, "data": {"ships": [vasa()]}}, held)
    jsonschema.validate({"found": False, "data": None}, held)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"found": True, "data": {"ships": [{"name": "Vasa"}]}}, held)


def test_async_code_asks_in_a_schema_too(make: Callable[..., Pipeline]) -> None:
    model = ScriptedModel([reply(vasa())])
    pipeline = make("llm={use: given}", "ask.generate={use: llm}", components=Components(llm=model))
    pipeline.ingest()
    answer = asyncio.run(pipeline.aio.ask(QUESTION, schema=Ship))
    assert isinstance(answer.data, Ship)
