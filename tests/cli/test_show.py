from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag.cli import app
from rag.pipeline.spec import PipelineSpec, load_spec


def rag(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["show", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("flags", [[], ["--resolved"]])
def test_what_it_prints_is_the_same_pipeline_as_one_file(flags: list[str]) -> None:
    assert PipelineSpec.from_yaml(rag("sparse", *flags), environ={}) == load_spec("sparse").spec


def test_every_effective_value_has_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG__ASK__COMPRESS__KEEP", "4")
    monkeypatch.setenv("KEEP", "6")
    Path("p.yaml").write_text("ask:\n  fuse:\n    keep: ${KEEP}\n")
    output = rag("p.yaml", "--resolved", "--origin", "--set", "ask.fuse.over=list")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in output.splitlines()}
    assert rows["ask.fuse.use"] == ['"zscore"', "default"]
    assert rows["ask.fuse.keep"] == ["6", "p.yaml:3 (${KEEP})"]
    assert rows["ask.fuse.over"] == ['"list"', "--set ask.fuse.over=list"]
    assert rows["ask.compress.keep"] == ["4", "$RAG__ASK__COMPRESS__KEEP"]
    assert rows["ingest.chunk.tokens"][1] == "default"


def test_json_with_origins_is_one_line_a_value() -> None:
    Path("p.yaml").write_text("ask: {fuse: {keep: 6}}")
    rows = [json.loads(line) for line in rag("p.yaml", "--origin", "--json").splitlines()]
    assert {"path": "ask.fuse.keep", "value": 6, "origin": "p.yaml:1"} in rows


def test_json_is_the_pipeline() -> None:
    assert json.loads(rag("hybrid", "--json", "--resolved"))["ask"]["fuse"]["use"] == "zscore"


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PASSWORD", "hunter2")
    llm = "{use: openai, base_url: 'http://me:hunter2@x/v1', model: '${SERVER_PASSWORD}'}"
    Path("p.yaml").write_text(f"llm: {llm}")
    for flags in ([], ["--origin"], ["--json"], ["--resolved", "--origin"]):
        output = rag("p.yaml", *flags)
        assert "hunter2" not in output
        assert "http://me:***@x/v1" in output
