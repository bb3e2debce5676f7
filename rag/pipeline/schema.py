"""The JSON Schema (draft-07) of a pipeline file, which editors check and complete from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias, cast

from rag import library, registry
from rag.config.spec import Spec
from rag.config.stage import STAGE_KEY
from rag.errors import ConfigError
from rag.pipeline.spec import PipelineSpec

Schema: TypeAlias = "dict[str, Schema] | list[Schema] | str | int | float | bool | None"
Object: TypeAlias = dict[str, Schema]

VARIABLE: Object = {"type": "string", "pattern": r"\$\{.+\}"}
"""What may stand for any value that is not free text."""


def json_schema(*, plugins: bool = True) -> Object:
    """The schema of a whole file or a preset, with every component's options told apart by `use`.

    A file is one layer of several, so a mapping may lack what another layer gives; an item of a list stands for
    itself, so it needs its `use` and whatever has no default. Without `plugins`, it covers what ships and nothing else,
    neither plug-ins nor files of the working directory.
    """
    schema, definitions = _own(PipelineSpec, "")
    for stage in registry.STAGES:
        specs = dict(_specs(stage, plugins=plugins))
        for name, spec in specs.items():
            component, inner = _own(spec, f"{stage}.{name}.")
            definitions |= {f"{stage}.{name}": _component(component, name), **inner}
        definitions[stage] = _one_of({"$ref": f"#/definitions/{stage}.{name}"} for name in specs)
        definitions[f"{stage}.item"] = _one_of(_item(stage, name, spec) for name, spec in specs.items())
    properties = cast(Object, schema["properties"])
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ragloom pipeline",
        "description": "A pipeline file, or a preset to lay under one.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "version": properties["version"],
            "extends": {
                "description": "The pipeline under this one: a name, or a path relative to this file.",
                "anyOf": [{"enum": [*library.names("pipelines", local=plugins)]}, {"type": "string"}],
            },
            "presets": {
                "description": "Presets from configs/, by name, merged under this file in this order.",
                "type": "array",
                "items": {"anyOf": [{"enum": [*library.names("configs", local=plugins)]}, {"type": "string"}]},
            },
            **{name: section for name, section in properties.items() if name != "version"},
        },
        "definitions": definitions,
    }


def _specs(stage: str, *, plugins: bool) -> Iterator[tuple[str, type[Spec]]]:
    for name, source in registry.names(stage, plugins=plugins).items():
        try:
            spec = registry.find(stage, name)
        except ConfigError:
            if not source:
                raise
            continue  # a broken plug-in is reported when its name is used
        assert issubclass(spec, Spec)
        yield name, spec


def _own(spec: type[Spec], prefix: str) -> tuple[Object, Object]:
    """The schema of one model, and those of the models in it, their names behind the prefix."""
    schema = cast(Object, spec.model_json_schema(ref_template=f"#/definitions/{prefix}{{model}}"))
    inner = cast(Object, schema.pop("$defs", {}))
    return _translated(schema), {f"{prefix}{name}": _translated(cast(Object, model)) for name, model in inner.items()}


def _component(schema: Object, name: str) -> Object:
    options = {option: value for option, value in cast(Object, schema["properties"]).items() if option != "use"}
    use: Object = {"const": name, "description": schema.get("description", name)}
    return {**schema, "title": name, "properties": {"use": use, **options}}


def _item(stage: str, name: str, spec: type[Spec]) -> Object:
    needed: list[Schema] = [option for option, field in spec.model_fields.items() if field.is_required()]
    return {"allOf": [{"$ref": f"#/definitions/{stage}.{name}"}, {"required": ["use", *needed]}]}


def _one_of(options: Iterable[Object]) -> Object:
    found: list[Schema] = [*options]
    return {"anyOf": found} if found else {"not": {}}


def _translated(schema: Object) -> Object:
    """From what pydantic writes (2020-12) to draft-07, where nothing stands beside a ``$ref``."""
    told: Object = {key: schema[key] for key in ("description", "default") if key in schema}
    if "description" in told:
        told["description"] = str(told["description"]).replace("``", "`")
    if STAGE_KEY in schema:
        return {**told, "allOf": [{"$ref": f"#/definitions/{schema[STAGE_KEY]}"}]}
    if "$ref" in schema:
        return {"description": told.get("description", ""), "allOf": [{"$ref": schema["$ref"]}]}
    found: Object = {key: value for key, value in schema.items() if key not in ("title", "required", "items", *told)}
    if "properties" in schema:
        named = cast(Object, schema["properties"])
        return {**told, **found, "properties": {name: _translated(cast(Object, named[name])) for name in named}}
    if "anyOf" in schema:
        return {
            **told,
            "anyOf": [_translated(cast(Object, option)) for option in cast("list[Schema]", schema["anyOf"])],
        }
    if "items" in schema:
        items = cast(Object, schema["items"])
        item: Object = {"$ref": f"#/definitions/{items[STAGE_KEY]}.item"} if STAGE_KEY in items else _translated(items)
        return {**told, **found, "items": item}
    if found == {"type": "string"} or found.get("type") in ("object", "null"):
        return {**told, **found}
    return {**told, "anyOf": [found, VARIABLE]}
