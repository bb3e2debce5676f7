"""The options of a spec in words, for `rag components` and the YAML reference."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Schema: TypeAlias = "Mapping[str, object]"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: what it may be, its default as YAML (``None`` where it has to be given), and what it is for."""

    name: str
    values: str
    default: str | None
    doc: str


def summary(spec: type[BaseModel]) -> str:
    """The first sentence of the class's docstring, in Markdown."""
    paragraph = inspect.cleandoc(spec.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0]


def documentation(spec: type[BaseModel]) -> str:
    """The whole docstring, in Markdown."""
    return inspect.cleandoc(spec.__doc__ or "").replace("``", "`")


def options(spec: type[BaseModel]) -> list[Option]:
    """The options of a spec beside `use`, in their order."""
    import json

    from rag.config.docs import field_docs
    from rag.config.dump import use_name
    from rag.config.spec import Spec

    schema = spec.model_json_schema()
    definitions = cast("Mapping[str, Schema]", schema.get("$defs", {}))
    docs = field_docs(spec)
    found: list[Option] = []
    for name, field in spec.model_fields.items():
        if name == "use":
            continue
        told = cast("Schema", schema["properties"][name])
        default: str | None = None
        if not field.is_required():
            value = field.get_default(call_default_factory=True)
            default = f"use: {use_name(value)}" if isinstance(value, Spec) else json.dumps(told.get("default", value))
        found.append(Option(name, values(told, definitions), default, docs.get(name, "").replace("``", "`")))
    return found


def values(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """What a value may be, in words.

    >>> values({"type": "integer", "minimum": 1, "maximum": 9}, {})
    'whole number, 1 to 9'
    """
    from rag.config.stage import STAGE_KEY

    if STAGE_KEY in schema:
        return f"a component of `{schema[STAGE_KEY]}`"
    if "$ref" in schema:
        return values(definitions[str(schema["$ref"]).rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return " or ".join(values(option, definitions) for option in cast("list[Schema]", schema["anyOf"]))
    if "discriminator" in schema:
        uses = cast("Schema", schema["discriminator"])["mapping"]
        return "mapping with `use`: " + " | ".join(f"`{use}`" for use in sorted(cast("Schema", uses)))
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in cast("list[object]", schema["enum"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        items = cast("Schema", schema.get("items", {}))
        return f"list of: {values(items, definitions)}" if items else "list"
    return _TYPES.get(kind, kind) + _bounds(schema)


_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "mapping",
}


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    for key, words in (
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("exclusiveMinimum", "more than"),
        ("exclusiveMaximum", "less than"),
    ):
        if key in schema:
            return f", {words} {schema[key]}"
    return ""
