"""docs/first-pipeline.md: its files are valid, its commands print what it says, its code runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag.cli import app
from rag.errors import ConfigError
from rag.pipeline.spec import PipelineSpec

PAGE = (Path(__file__).parents[2] / "docs" / "first-pipeline.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
PIPELINE, WRONG, VARIABLES = (text for kind, text in BLOCKS if kind == "yaml")


def test_every_command_prints_what_the_page_says() -> None:
    Path("pipeline.yaml").write_text(PIPELINE, encoding="utf-8")
    Path("wrong.yaml").write_text(WRONG, encoding="utf-8")
    sessions = [text for kind, text in BLOCKS if kind == "console"]
    commands = [part for text in sessions for part in re.split(r"^\$ rag ", text, flags=re.MULTILINE)[1:]]
    assert len(commands) == 5
    for command in commands:
        line, _, printed = command.partition("\n")
        assert CliRunner().invoke(app, shlex.split(line)).output == printed


def test_its_pipelines_are_valid_but_for_the_wrong_one() -> None:
    for text in (PIPELINE, VARIABLES):
        PipelineSpec.from_yaml(text, environ={})
    with pytest.raises(ConfigError):
        PipelineSpec.from_yaml(WRONG, environ={})


def test_its_python_runs() -> None:
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    exec(compile(code, "docs/first-pipeline.md", "exec"), {})
