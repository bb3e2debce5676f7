from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rag.cli import app
from rag.pipeline.spec import load_spec


def rag(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def test_the_file_it_writes_is_the_default_pipeline_with_comments_without_itself() -> None:
    assert rag().exit_code == 0
    shipped = load_spec("hybrid", overrides=['ingest.load.0.exclude=["/pipeline.yaml"]'], environ={})
    assert load_spec("pipeline.yaml", environ={}).spec == shipped.spec
    assert Path("pipeline.yaml").read_text(encoding="utf-8").count("#") > 10


def test_its_first_line_names_a_schema_that_is_there() -> None:
    rag("deep/mine.yaml")
    first = Path("deep/mine.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=.ragloom/pipeline.schema.json"
    assert Path("deep/.ragloom/pipeline.schema.json").is_file()


def test_a_folder_gets_a_pipeline_yaml() -> None:
    Path("project").mkdir()
    rag("project")
    assert Path("project/pipeline.yaml").is_file()


@pytest.mark.parametrize(("flags", "kept"), [([], True), (["--force"], False)])
def test_a_file_that_is_there_is_replaced_only_by_force(flags: list[str], kept: bool) -> None:
    Path("pipeline.yaml").write_text("mine")
    result = rag(*flags)
    assert (Path("pipeline.yaml").read_text(encoding="utf-8") == "mine") is kept
    assert result.exit_code == (1 if kept else 0)


@pytest.mark.parametrize("path", ["pipeline.yaml", "deep/mine.yaml", 'a "b" é.yaml', "./mine.yaml"])
def test_the_new_pipeline_does_not_index_itself(path: str) -> None:
    Path("notes.md").write_text("Dogs bark.", encoding="utf-8")
    assert rag(path).exit_code == 0
    plan = CliRunner().invoke(app, ["ingest", "--plan", "--json", "-p", path])
    assert json.loads(plan.output)["added"] == ["notes.md"]


@pytest.mark.parametrize(
    ("path", "option"),
    [("pipeline.yaml", ""), (".", ""), ("mine.yaml", " -p mine.yaml"), ("a b.yaml", " -p 'a b.yaml'")],
)
def test_the_next_commands_it_names_use_the_file_it_wrote(path: str, option: str) -> None:
    assert f'next: rag ingest{option}, then rag ask{option} "..."\n' in rag(path).output
