"""The README, the picture and the list of dependencies say what is so."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs" / "terminal.svg").read_text(encoding="utf-8")


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = re.findall(r"\bmake ([a-z-]+)", README)
    assert {"demo", "test"} <= set(named)
    assert set(named) <= set(targets)


def test_the_table_of_stages_lists_every_component_that_ships() -> None:
    listed: dict[str, list[str]] = {}
    stage = ""
    for line in CliRunner().invoke(app, ["components"]).output.splitlines():
        if not line.startswith(" "):
            stage = line.removesuffix(":")
            listed[stage] = []
        elif not line.startswith("  ("):
            listed[stage].append(line.split()[0])
    of_stages = [row for row in rows(README) if row[0].startswith(("`llm`", "`ingest.", "`ask."))]
    table = {names(row[0])[0]: names(row[2]) for row in of_stages}
    assert table == listed


def test_every_dependency_is_explained_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    base, extras = page.split("## Base")[1].split("## Extras")
    assert explained(base) == required(project["dependencies"])
    by_extra = {names(row[0])[0]: set(names(row[1])) for row in rows(extras) if len(row) == 4 and names(row[0])}
    for extra in ("hf", "chroma", "langchain", "vllm", "docs"):
        assert by_extra[extra] == required(project["optional-dependencies"][extra])
    assert explained(extras.split("`dev` holds")[1]) == required(project["optional-dependencies"]["dev"])


def explained(text: str) -> set[str]:
    return {name for row in rows(text) for name in names(row[0])}


def required(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", requirement)[0] for requirement in requirements}


def shown() -> str:
    """The text of the picture, line by line."""
    lines = re.findall(r'<text class="terminal-r\d" x="([\d.]+)" [^>]*>(.*?)</text>', PICTURE, flags=re.DOTALL)
    text = "".join(("\n" if at == "0" else "") + html.unescape(words).strip("\n") for at, words in lines)
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_picture_fetches_nothing() -> None:
    assert "http" not in PICTURE.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
        "https://www.textualize.io", ""
    )


@pytest.mark.slow
def test_the_picture_shows_what_the_program_prints(own_directory: Path) -> None:
    shutil.copytree(ROOT / "examples" / "handbook", own_directory / "handbook")
    commands = re.findall(r'^\$ rag ask "(.+)" --source handbook$', shown(), flags=re.MULTILINE)
    assert len(commands) == 2
    flowing = " ".join(shown().split())
    for question in commands:
        arguments = [sys.executable, "-m", "rag", "ask", question, "--source", "handbook"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        answer, _, sources = done.stdout.partition("\n\n")
        assert " ".join(answer.split()) in flowing, "run docs/terminal.py again"
        assert sources.splitlines()[0] in shown(), "run docs/terminal.py again"
