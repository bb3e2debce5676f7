"""What the pages show works: code runs, pipelines validate, commands print what is printed, names and links exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rag.cli import app
from rag.models.local_specs import TransformersModelSpec
from rag.models.vllm_specs import VllmSpec
from rag.pipeline.spec import PipelineSpec

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
TESTED_APART = {"first-pipeline.md", "write-a-reranker.md"}  # their blocks are files of one story
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS: dict[str, object] = getattr(get_command(app), "commands")  # noqa: B009, typer's type does not say it is a group

page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, kind: str) -> list[str]:
    if page.name in TESTED_APART:
        return []
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == kind]


@pytest.fixture
def checkout(own_directory: Path) -> Path:
    """A working directory with the example handbook where the pages say it is."""
    shutil.copytree(ROOT / "examples" / "handbook", own_directory / "examples" / "handbook")
    return own_directory


@pytest.mark.slow
@page
def test_python_blocks_run_one_after_another(page: Path, checkout: Path) -> None:
    if code := "\n".join(blocks(page, "python")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


@page
def test_yaml_blocks_are_valid_pipelines(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (TransformersModelSpec, VllmSpec):  # what this machine lacks is no fault of the page
        monkeypatch.setattr(model, "missing", lambda _: None)
    for text in blocks(page, "yaml"):
        PipelineSpec.from_yaml(text, environ={})


@pytest.mark.slow
@page
def test_console_blocks_print_what_they_show(page: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ rag ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            printed = CliRunner().invoke(app, shlex.split(command)).output
            assert without_times(printed) == without_times(shown)


def without_times(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?(?= (s|ms|chunks/s)\b)", "#", text).rstrip()


@page
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    for command, line in mentioned(page.read_text(encoding="utf-8")):
        assert command in COMMANDS, line
        inner = [word for word in line.split()[:1] if word in getattr(COMMANDS[command], "commands", {})]
        taken = CliRunner().invoke(app, [command, *inner, "--help"], env={"COLUMNS": "200"}).output
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", line):
            assert option in taken, f"{command} has no {option}: {line}"


def mentioned(text: str) -> Iterator[tuple[str, str]]:
    """The commands in code, with their lines: ``rag ask --json`` in a sentence, and in blocks."""
    code: list[str] = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", BLOCK.sub("", text))
    code += [line for kind, block in BLOCK.findall(text) if kind in ("sh", "console") for line in block.splitlines()]
    for line in code:
        found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )?rag ([a-z]+(?:-[a-z]+)*)\b(.*)", line)
        if found:
            yield found[1], found[2]


@page
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
