"""Every example runs as it stands, in a folder of its own, and prints what it is there to show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy: the scripts write their index beside themselves."""
    return Path(
        shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns(".ragloom", "__pycache__"))
    )


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_has_a_test() -> None:
    tested = {"ask_a_folder.sh", "custom_reranker.py", "evaluate.sh", "handbook-questions.jsonl", "handbook.yaml"}
    tested |= {"langchain_interop.py", "local_model.py", "sdk.py"}
    tested |= {"dynamic.yaml"}  # in tests/trigger/test_flare_served.py, with a server
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == tested


def test_ask_a_folder_prints_cited_answers_a_search_and_json(examples: Path) -> None:
    printed = run(["bash", "ask_a_folder.sh"], examples)
    assert "Probation lasts six months. [1]" in printed
    assert "[1] handbook/expenses.md, line 10" in printed
    assert 'section "Probation"' in printed
    assert "fuse      zscore" in printed
    assert '"answer": "Everyone has private supplementary health insurance' in printed


def test_handbook_yaml_indexes_and_answers(examples: Path) -> None:
    rag = [sys.executable, "-m", "rag"]
    assert "7 added" in run([*rag, "ingest", "-q", "-p", "handbook.yaml"], examples)
    printed = run([*rag, "ask", "-p", "handbook.yaml", "Who pays for glasses?"], examples)
    assert "glasses up to 400 EUR every two years" in printed
    assert "handbook/benefits.pdf, page 1" in printed


def test_evaluate_compares_pipelines_and_says_which_stage_decided(examples: Path) -> None:
    printed = run(["bash", "evaluate.sh"], examples)
    assert "8 questions (7 judged, 1 unanswerable)" in printed
    assert "Contains" in printed
    assert "what decided" in printed
    assert (examples / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_sdk_cites_the_very_characters(examples: Path) -> None:
    printed = run([sys.executable, "sdk.py"], examples)
    assert "7 documents, " in printed
    assert "leave.md, line 7: 'You have 27 days of annual leave a year" in printed
    assert "kept " in printed


def test_the_custom_reranker_moves_what_it_prefers_to_the_top(examples: Path) -> None:
    before, after = run([sys.executable, "custom_reranker.py"], examples).split("rerank: [{use: trust")
    assert before.splitlines()[1].endswith("security.html")
    assert after.splitlines()[1].endswith("first-weeks.docx")


def test_langchain_works_in_both_directions(examples: Path) -> None:
    pytest.importorskip("langchain_core")
    printed = run([sys.executable, "langchain_interop.py"], examples)
    assert "YOU HAVE 27 DAYS OF ANNUAL LEAVE" in printed
    assert "chunks in the vector store" in printed
    assert "generated: You have 27 days of annual leave. [1]" in printed
    assert "chunks embedded by LangChain" in printed


def test_local_model_computes_less_for_a_warm_question_than_for_a_cold_one_and_prints_the_difference(
    examples: Path,
) -> None:
    printed = run([sys.executable, "local_model.py"], examples)
    cold, warm = (int(tokens) for tokens in re.findall(r"^  (\d+) tokens computed in [\d.]+ s$", printed, re.MULTILINE))
    assert 2 * warm < cold
    assert f"warm instead of cold: {cold / warm:.1f} times fewer tokens computed, " in printed
    assert len(re.findall(r"(?:compress|generate) .*questions found: 1", printed)) == 4  # asked once a question
