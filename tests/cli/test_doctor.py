from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def states(report: list[dict[str, str]], start: str) -> list[str]:
    return [finding["state"] for finding in report if finding["what"].startswith(start)]


def test_a_folder_without_an_index_is_no_problem_and_the_command_that_makes_one_is_named(
    folder: Path, run: Callable[..., Any]
) -> None:
    done = run("doctor")
    assert done.code == 0
    assert "ok       embedding model hash" in done.out
    assert "absent   index .ragloom/index: there is none yet\n         rag ingest" in done.out


def test_a_sound_index_is_reported_with_its_size(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("doctor", "--deep", "--json")
    assert done.code == 0
    assert states(done.json, "index") == ["ok"]
    assert states(done.json, "ragloom") == ["ok"]
    assert any(finding["what"].endswith("2 documents, 2 chunks, generation 1") for finding in done.json)


def test_an_index_of_another_model_is_a_problem_with_the_command_that_mends_it(
    indexed: Path, run: Callable[..., Any]
) -> None:
    other = ("--set", "ingest.embed.dimension=64")
    done = run("doctor", "--json", *other)
    assert done.code == 1
    (problem,) = [finding for finding in done.json if finding["state"] == "problem"]
    assert "rag rebuild --embed-only" in problem["mend"]
    assert run("rebuild", "--embed-only", *other).code == 0
    assert run("doctor", *other).code == 0


def test_a_damaged_truth_is_a_problem_that_names_the_file(indexed: Path, run: Callable[..., Any]) -> None:
    database = indexed / ".ragloom" / "index" / "index.sqlite"
    for leftover in database.parent.glob("index.sqlite-*"):
        leftover.unlink()
    database.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    done = run("doctor")
    assert done.code == 1
    assert "index.sqlite" in done.out
    assert "Traceback" not in done.err
