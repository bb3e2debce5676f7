"""The built wheel, unpacked and run from elsewhere: everything that ships is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rag

ROOT = Path(rag.__file__).parents[1]
FOLDERS = ("rag", "connectors", "pipelines", "prompts", "configs")


@pytest.mark.slow
def test_a_built_wheel_holds_the_content_folders_and_runs_from_anywhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("ragloom-*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "docs").mkdir(parents=True)
    (elsewhere / "docs" / "dogs.txt").write_text("Dogs bark at night.", encoding="utf-8")

    def run(*arguments: str) -> str:
        code = f"import sys; sys.path.insert(0, {str(site)!r}); from rag.cli import main; sys.argv[0] = 'rag'; main()"
        environ = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments], cwd=elsewhere, env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "hybrid: ok" in run("validate", "hybrid")
    assert "files" in run("components", "load")
    assert "Dogs bark at night. [1]" in run("ask", "When do dogs bark?", "--source", "docs")
    assert (site / "rag" / "library" / "prompts" / "answer.md").is_file()
    assert (site / "rag" / "library" / "pipelines" / "pipeline.schema.json").is_file()
    assert any((site / "rag" / "library" / "configs").rglob("*.yaml"))
