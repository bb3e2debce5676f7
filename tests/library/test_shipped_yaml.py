"""Every pipeline and preset that ships, and the schema they point at."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from rag import library, registry
from rag.config.yaml import Plain, parse
from rag.errors import ConfigError
from rag.models.local_specs import TransformersModelSpec
from rag.models.vllm_specs import VllmSpec
from rag.pipeline.schema import json_schema
from rag.pipeline.spec import PipelineSpec, load_spec

PIPELINES = sorted(library.shipped("pipelines").glob("**/*.yaml"))
PRESETS = sorted(library.shipped("configs").glob("**/*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = json_schema(plugins=False)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def plain(text: str) -> Plain:
    return parse(text, name="f.yaml").plain


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_a_pipeline_that_ships_is_valid_and_survives_being_written(file: Path) -> None:
    spec = load_spec(file.stem, environ={}).spec
    assert PipelineSpec.from_yaml(spec.to_yaml(full=True), environ={}) == spec


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_a_preset_that_ships_is_valid_over_the_default_pipeline(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (TransformersModelSpec, VllmSpec):  # what a machine lacks is no fault of the preset
        monkeypatch.setattr(model, "missing", lambda _: None)
    spec = PipelineSpec.from_yaml(f"extends: hybrid\npresets: [{file.stem}]", environ={})
    assert spec != load_spec("hybrid", environ={}).spec


@pytest.mark.parametrize("file", PIPELINES + PRESETS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_what_ships_points_at_the_schema_and_fits_it(file: Path, validator: Draft7Validator) -> None:
    text = file.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None
    assert (file.parent / named[1]).resolve() == (library.shipped("pipelines") / "pipeline.schema.json").resolve()
    assert list(validator.iter_errors(plain(text))) == []


def test_the_schema_that_ships_is_the_one_the_models_make() -> None:
    """If this fails: rag schema --built-in --out pipelines/pipeline.schema.json"""
    shipped = json.loads((library.shipped("pipelines") / "pipeline.schema.json").read_text(encoding="utf-8"))
    assert shipped == json_schema(plugins=False)


@pytest.mark.parametrize(
    "text",
    [
        "ask: {fuse: {keep: 5}}",
        "ask: {fuse: {use: rrf, keep: '${K:-5}'}}",
        "ask: {fuse: {use: zscore, over: '${OVER}'}}",
        "ingest: {index: {dense: null}}",
        "ingest: {index: {dense: {use: hnsw, m: 16}}}",
        "llm: {use: openai, model: m}",
        "extends: ./other.yaml",
        "presets: [a-preset-of-mine]",
    ],
)
def test_the_schema_takes_what_one_layer_may_say(text: str, validator: Draft7Validator) -> None:
    assert list(validator.iter_errors(plain(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "version: 2",
        "ak: {}",
        "ask: {fuse: {use: rff}}",
        "ask: {fuse: {use: rrf, over: list}}",
        "ask: {fuse: {keep: 0}}",
        "ask: {fuse: {keep: many}}",
        "ask: {fuse: rrf}",
        "ask: {rerank: {use: mmr}}",
        "ask: {rerank: [{keep: 3}]}",
        "ask: {transform: [{use: x}]}",
        "ask: {retrieve: []}",
        "ingest: {load: [{use: rows}]}",
        "ingest: {index: {dense: {use: hnsw, n: 3}}}",
        "ingest: {parse: {memory_mb: 64}}",
        "presets: hnsw",
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(text: str, validator: Draft7Validator) -> None:
    with pytest.raises(ConfigError):
        PipelineSpec.from_yaml(text, environ={})
    assert list(validator.iter_errors(plain(text))) != []


def test_every_option_in_the_schema_says_what_it_is_for_and_its_default() -> None:
    definitions = json_schema(plugins=False)["definitions"]
    assert isinstance(definitions, dict)
    for name, definition in definitions.items():
        if not isinstance(definition, dict) or "." not in name or name.endswith(".item"):
            continue
        options = copy.copy(definition["properties"])
        assert isinstance(options, dict)
        for option, told in options.items():
            assert isinstance(told, dict)
            assert told.get("description"), f"{name}.{option}"


def test_every_component_can_be_completed_from_its_name() -> None:
    definitions = json_schema(plugins=False)["definitions"]
    assert isinstance(definitions, dict)
    fuse = json.dumps(definitions["fuse"])
    assert fuse == json.dumps(
        {"anyOf": [{"$ref": f"#/definitions/fuse.{name}"} for name in registry.names("fuse", plugins=False)]}
    )
    rrf = definitions["fuse.rrf"]
    assert isinstance(rrf, dict)
    assert isinstance(rrf["properties"], dict)
    assert rrf["properties"]["use"] == {
        "const": "rrf",
        "description": "Reciprocal rank fusion: the sum of 1 / (constant + rank). Looks at ranks alone.",
    }
