from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft7Validator
from typer.testing import CliRunner

from rag.cli import app


def test_it_prints_a_draft_07_schema() -> None:
    result = CliRunner().invoke(app, ["schema"])
    Draft7Validator.check_schema(json.loads(result.output))


def test_it_writes_the_same_to_a_file() -> None:
    CliRunner().invoke(app, ["schema", "--out", "deep/schema.json"])
    assert Path("deep/schema.json").read_text(encoding="utf-8") == CliRunner().invoke(app, ["schema"]).output


def test_pipelines_of_the_working_directory_are_offered_for_extends_unless_built_in_alone_is_asked_for() -> None:
    Path("pipelines").mkdir()
    Path("pipelines/mine.yaml").write_text("version: 1")
    assert '"mine"' in CliRunner().invoke(app, ["schema"]).output
    assert '"mine"' not in CliRunner().invoke(app, ["schema", "--built-in"]).output
