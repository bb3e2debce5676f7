"""The hand-written list of packages in pyproject.toml, and the public names, against what is there."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import rag

ROOT = Path(rag.__file__).parents[1]


def test_every_package_is_named_in_pyproject() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"])
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "rag").rglob("__init__.py")}
    mapped = {"rag.connectors", "rag.library.pipelines", "rag.library.prompts", "rag.library.configs"}
    assert listed == found | mapped


def test_the_public_names_the_imports_for_type_checkers_and_the_lazy_table_agree() -> None:
    tree = ast.parse((ROOT / "rag" / "__init__.py").read_text("utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (node.module, alias.name) for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    lazy = {(module, name) for name, module in rag._MODULE_OF.items()}
    assert typed == lazy
    assert rag.__all__ == sorted(name for _, name in lazy)


def test_every_public_name_loads_and_has_a_docstring() -> None:
    for name in rag.__all__:
        assert (getattr(rag, name).__doc__ or "").strip() or name == "Event", name


def test_every_public_name_and_every_method_of_a_pipeline_that_runs_something_is_on_the_page_for_python() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    assert set(rag.__all__) <= set(re.findall(r"`(\w+)`", page.partition("## Every public name")[2]))
    table = page.partition("| method | gives |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)(?:\(|`)", table))
    assert {"ingest", "plan", "ask", "ask_many", "search", "stream", "locate", "to_yaml", "aio", "close"} <= named
