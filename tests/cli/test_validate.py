from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from rag.cli import app


def rag(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["validate", *arguments])


def test_without_a_name_the_pipeline_of_the_working_directory_is_checked() -> None:
    assert rag().output.startswith("hybrid: ok, 12 components, ")
    Path("pipeline.yaml").write_text("ask: {fuse: {keep: 3}}")
    result = rag()
    assert (result.exit_code, result.output) == (0, "pipeline.yaml: ok, 11 components, 1 values written\n")


def test_every_file_is_checked_and_one_wrong_file_makes_it_fail() -> None:
    Path("wrong.yaml").write_text("ask:\n  fuse: {kep: 3}\n")
    result = rag("wrong.yaml", "sparse")
    assert result.exit_code == 1
    assert result.output.splitlines()[:3] == [
        "wrong.yaml:2:10: ask.fuse.kep: unknown key; did you mean `keep`?",
        "    2 |   fuse: {kep: 3}",
        "      |          ^",
    ]
    assert result.output.splitlines()[3].startswith("sparse: ok")


def test_json_has_a_line_for_each_file_with_its_problems() -> None:
    Path("wrong.yaml").write_text("ask:\n  fuse: {kep: 3}\n")
    wrong, right, gone = map(json.loads, rag("--json", "wrong.yaml", "sparse", "gone.yaml").output.splitlines())
    assert wrong == {
        "pipeline": "wrong.yaml",
        "ok": False,
        "problems": [
            {
                "file": "wrong.yaml",
                "line": 2,
                "column": 10,
                "path": "ask.fuse.kep",
                "message": "unknown key; did you mean `keep`?",
            }
        ],
    }
    assert right == {"pipeline": "sparse", "ok": True, "problems": []}
    assert gone["problems"][0]["message"] == "gone.yaml: there is no such file"


def test_a_flag_is_checked_with_the_file() -> None:
    result = rag("hybrid", "--set", "ask.fuse.keep=0")
    assert (result.exit_code, result.output) == (
        1,
        "--set ask.fuse.keep=0: ask.fuse.keep: expected at least 1, got 0\n",
    )
