"""The `rag` command in this process, and a small indexed folder to run it on."""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main

DOCUMENTS = {
    "dogs.md": "# Dogs\n\nDogs bark at night. They sleep during the day.\n",
    "owls.md": "# Owls\n\nOwls hoot after dark. They hunt mice.\n",
}
PIPELINE = """version: 1
extends: hybrid
ingest:
  load: [{use: files, root: docs}]
  embed: {use: hash, dimension: 256}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        import json

        return json.loads(self.out)

    @property
    def hinted(self) -> list[str]:
        """The arguments of the command that the hint names, as a shell would read them."""
        (command,) = re.findall("`(rag [^`]+)`", self.err)
        return shlex.split(command)[1:]


Command = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``run("ask", "Why?")`` is ``rag ask "Why?"``; `stdin` is what is piped in."""

    def command(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["rag", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, printed.out, printed.err)

    return command


@pytest.fixture
def folder(own_directory: Path) -> Path:
    """The working directory with a pipeline of the hash embedder and two documents, not indexed yet."""
    (own_directory / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (own_directory / "docs" / name).write_text(text, encoding="utf-8")
    (own_directory / "pipeline.yaml").write_text(PIPELINE, encoding="utf-8")
    return own_directory


@pytest.fixture
def indexed(folder: Path, run: Command) -> Path:
    assert run("ingest").code == 0
    return folder
