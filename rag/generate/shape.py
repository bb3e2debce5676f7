"""Answers in a schema: what a model is asked for, and what is made of its reply."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from rag.errors import ConfigError, MissingExtraError, StructureError
from rag.models.llm import Json, LanguageModel, Message, Sampling
from rag.models.replies import object_in
from rag.models.template import as_data
from rag.types import Usage

TRIES = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON Schema, and `check`, which makes a value of a plain one or says what is wrong with it.

    `wrapped` is what the model is asked for: ``{"found": true, "data": ...}``, so that it can say that the sources do
    not tell, whatever the schema requires.
    """

    schema: Mapping[str, Json]
    check: Callable[[Json], object | Sequence[str]]

    @property
    def wrapped(self) -> dict[str, Json]:
        inner = dict(self.schema)
        definitions = {name: inner.pop(name) for name in tuple(inner) if name in ("$defs", "definitions")}
        return {
            **definitions,
            "type": "object",
            "properties": {"found": {"type": "boolean"}, "data": {"anyOf": [inner, {"type": "null"}]}},
            "required": ["found", "data"],
            "additionalProperties": False,
        }


class Problems(tuple[str, ...]):
    """What is wrong with a value; a class of its own, for a value may be a tuple of texts."""


def of_model(model: type[BaseModel]) -> Shape:
    """The shape of a pydantic model; its values are objects of the model."""

    def check(value: Json) -> object:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            return Problems(f"{_path(each['loc'])}: {each['msg']}" for each in error.errors(include_url=False))

    return Shape(model.model_json_schema(), check)


def of_schema(schema: Mapping[str, Json]) -> Shape:
    """The shape of a JSON Schema; its values are plain JSON. Needs the extra ``schema``.

    Raises:
        MissingExtraError: jsonschema is not installed.
        ConfigError: it is no valid schema.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
    except ImportError as error:
        raise MissingExtraError("jsonschema", extra="schema", needed_for="an answer in a JSON Schema") from error
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"the schema of the answer: {error.message}") from error
    validator = Draft202012Validator(schema)

    def check(value: Json) -> object:
        found = [f"{_path(tuple(each.absolute_path))}: {each.message}" for each in validator.iter_errors(value)]
        return Problems(found) if found else value

    return Shape(schema, check)


def asked(model: LanguageModel, messages: Sequence[Message], sampling: Sampling, shape: Shape) -> tuple[object, Usage]:
    """The value that the model replies with, ``None`` where it says that the sources do not tell; and what it cost.

    A reply that does not fit is shown to the model with what is wrong, once.

    Raises:
        StructureError: neither reply fits.
    """
    usage = Usage()
    talk = list(messages)
    problems: tuple[str, ...] = ()
    for _ in range(TRIES):
        reply = model.complete(talk, sampling)
        usage += reply.usage
        found = _read(reply.text, shape)
        if not isinstance(found, Problems):
            return found, usage
        problems = found
        listed = "\n".join(f"- {as_data(problem)}" for problem in problems)  # they quote the reply
        again = f"That reply does not fit the schema:\n{listed}\nReply again with the JSON object, and nothing else."
        talk = [*messages, Message("assistant", reply.text), Message("user", again)]
    raise StructureError(
        f"the model's reply does not fit the schema, nor did its first: {'; '.join(problems[:5])}",
        hint="choose a model or server that holds to a JSON Schema, make the schema simpler, or raise max_tokens",
    )


def _read(text: str, shape: Shape) -> object:
    reply = object_in(text)
    if reply is None:
        return Problems(["expected one JSON object"])
    if set(reply) != {"found", "data"}:
        return Problems([f"expected the keys `found` and `data`, found {', '.join(map(json.dumps, sorted(reply)))}"])
    if reply["found"] is False:
        return None
    return shape.check(reply["data"])


def _path(keys: Sequence[object]) -> str:
    return ".".join(["data", *map(str, keys)])
