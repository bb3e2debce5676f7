"""What the commands import. Looked up in fresh interpreters: it does not depend on how fast the machine is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli import COMMANDS

HEAVY = ("torch", "transformers", "sentence_transformers", "chromadb", "langchain_core", "vllm")
REPORT = """
import sys
from rag.cli import main
sys.argv = ["rag", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None, 3), end.code
print("IMPORTED", [name for name in {names!r} if name in sys.modules])
"""


def imported(arguments: list[str], names: tuple[str, ...], folder: Path) -> str:
    code = REPORT.format(arguments=arguments, names=names)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("startup")
    (folder / "docs").mkdir()
    (folder / "docs" / "dogs.md").write_text("# Dogs\n\nDogs bark at night.\n", encoding="utf-8")
    (folder / "pipeline.yaml").write_text(
        "version: 1\nextends: hybrid\ningest: {load: [{use: files, root: docs}]}\n", encoding="utf-8"
    )
    subprocess.run([sys.executable, "-m", "rag", "ingest", "-q"], cwd=folder, check=True, capture_output=True)
    return folder


def test_help_loads_neither_pydantic_nor_numpy_nor_yaml(tmp_path: Path) -> None:
    assert imported(["--help"], (*HEAVY, "pydantic", "numpy", "yaml", "onnxruntime", "rich"), tmp_path) == "IMPORTED []"


def test_validate_loads_no_numpy_and_no_model_runtime(indexed: Path) -> None:
    names = (*HEAVY, "numpy", "onnxruntime", "tokenizers", "faiss", "simsimd")
    assert imported(["validate", "pipeline.yaml"], names, indexed) == "IMPORTED []"


def test_validate_loads_no_other_command_and_no_specs_of_stages_that_are_empty(indexed: Path) -> None:
    names = ("rag.cli.ask", "rag.cli.train", "rag.models.specs", "rag.rerank.specs", "rag.query.specs", "rag.types")
    assert imported(["validate", "pipeline.yaml"], (*names, "pathspec"), indexed) == "IMPORTED []"


@pytest.mark.parametrize("arguments", [["search", "dogs"], ["ask", "When do dogs bark?"]])
def test_asking_with_the_default_pipeline_loads_nothing_heavy(indexed: Path, arguments: list[str]) -> None:
    assert imported(arguments, (*HEAVY, "faiss", "simsimd", "onnx"), indexed) == "IMPORTED []"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("rag ", [*COMMANDS]),
        ("rag tr", ["train"]),
        ("rag train a", ["adapter"]),
        ("rag ask --js", ["--json", "--json-events"]),
    ],
)
def test_the_shell_completes_commands_and_options_and_loads_nothing_but_the_command(
    typed: str, offered: list[str], tmp_path: Path
) -> None:
    words = typed.split()
    at = len(words) - (not typed.endswith(" "))
    shell = {"_RAG_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(at)}
    code = f"import os; os.environ.update({shell!r})\n" + REPORT.format(
        arguments=[], names=(*HEAVY, "numpy", "yaml", "onnxruntime", "rag.config.spec")
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *names, imported = done.stdout.split("\n")[:-1]
    assert (names, imported) == (offered, "IMPORTED []")
