"""Figures can be made again: the commands that pages give for them exist, and what benchmarks import does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:python|PYTHON\)) (?:benchmarks/)?([\w/]+\.py)([^`\n]*)|python -m (microlm\.\w+)([^`\n]*)")


def commands(text: str) -> Iterator[tuple[Path, str]]:
    """The script of each command that runs a benchmark, and what follows it."""
    for script, words, module, more in COMMAND.findall(text):
        yield ROOT / "benchmarks" / (script or f"{module.replace('.', '/')}.py"), words or more


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_benchmark_and_option_that_is_named_exists(page: Path) -> None:
    for script, words in commands(page.read_text(encoding="utf-8")):
        assert script.is_file(), f"{page.name}: {script.name}{words}"
        source = script.read_text(encoding="utf-8")
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", words):
            assert f'"{option}"' in source, f"{page.name}: {script.name} has no {option}"
        subcommands = re.findall(r'add_parser\(\s*"([a-z-]+)"', source)
        if subcommands and (first := re.match(r" ([a-z][a-z-]*)", words)):
            assert first[1] in subcommands, f"{page.name}: {script.name}{words}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_benchmark_imports_of_the_package_exists(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("rag", "connectors"):
            module = import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                found = hasattr(module, name) or find_spec(f"{node.module}.{name}") is not None
                assert found, f"{script.name}, line {node.lineno}: {node.module} has no {name}"
