from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag import registry
from rag.cli import app
from rag.registry import STAGES


def rag(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["components", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_every_stage_is_listed_at_its_place() -> None:
    titles = [line for line in rag().splitlines() if not line.startswith(" ")]
    assert titles == [f"{stage.place}:" for stage in STAGES.values()]


def test_a_component_is_listed_with_what_it_does() -> None:
    assert "  rrf       Reciprocal rank fusion: the sum of 1 / (constant + rank).\n" in rag("fuse")


def test_options_are_listed_with_values_default_and_purpose() -> None:
    lines = rag("fuse", "--verbose").splitlines()
    assert (
        "      constant: whole number, at least 1; default 60. Flattens the difference between the first and the tenth."
        in lines
    )
    assert any(
        line.startswith("      base_url: text; required. Where the API is") for line in rag("llm", "-v").splitlines()
    )


def test_json_has_a_line_for_each_component() -> None:
    rows = [json.loads(line) for line in rag("fuse", "--json").splitlines()]
    assert [row["name"] for row in rows] == [*registry.names("fuse")]
    (rrf,) = [row for row in rows if row["name"] == "rrf"]
    (constant,) = [option for option in rrf["options"] if option["name"] == "constant"]
    assert constant == {
        "name": "constant",
        "values": "whole number, at least 1",
        "default": "60",
        "doc": "Flattens the difference between the first and the tenth.",
    }


def test_a_plug_in_is_marked_and_a_broken_one_is_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "plugs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rag.rerank]\ngood = plugs_good:Spec\nbroken = plugs_gone:Spec\n")
    (tmp_path / "site" / "plugs_good.py").write_text(
        "from typing import Literal\nfrom rag.rerank.specs import RerankerSpec\n"
        "class Spec(RerankerSpec):\n    '''Orders well.'''\n    use: Literal['good'] = 'good'\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    lines = rag("rerank").splitlines()
    assert any(line.split() == ["good", "Orders", "well.", "[plug-in:", "plugs]"] for line in lines)
    assert any(
        " ".join(line.split()).startswith("broken broken: the reranker 'broken' of the plug-in plugs") for line in lines
    )


def test_an_unknown_stage_is_answered_with_a_near_one() -> None:
    result = CliRunner().invoke(app, ["components", "rerankers"])
    assert result.exit_code == 1
    assert "did you mean 'rerank'?" in str(result.exception)
