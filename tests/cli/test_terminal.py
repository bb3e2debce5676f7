from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rag.cli import app
from rag.cli.terminal import escape_unprintable


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", r"caf\u00e9 \u2026 \ud83d\ude00 \udce9"),
        ("latin-1", "caf\xe9 \\u2026 \\ud83d\\ude00 \\udce9"),
        ("utf-8", "caf\xe9 … 😀 \\udce9"),
    ],
)
def test_what_an_encoding_lacks_is_written_as_json_escapes_it(encoding: str, written: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    escape_unprintable(stream)
    text = "caf\xe9 … 😀 \udce9"
    stream.write(f'"{text}"')
    stream.flush()
    assert raw.getvalue().decode(encoding) == f'"{written}"'
    assert json.loads(raw.getvalue().decode(encoding)) == text


def test_in_a_locale_without_the_letters_json_stays_json_and_text_is_printed(indexed: Path) -> None:
    (indexed / "docs" / "caf\xe9.md").write_text("Caf\xe9s open at seven … always. 😀\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "latin-1:strict"}
    command = [sys.executable, "-m", "rag", "search", "When do caf\xe9s open?", "-p", "pipeline.yaml", "-k", "1"]
    subprocess.run([*command[:3], "ingest"], cwd=indexed, env=environment, check=True, capture_output=True)
    text, record = (
        subprocess.run([*command, *more], cwd=indexed, env=environment, capture_output=True, check=False)
        for more in ([], ["--json"])
    )
    assert (text.returncode, record.returncode) == (0, 0), text.stderr + record.stderr
    assert "Caf\xe9s open at seven \\u2026 always." in text.stdout.decode("latin-1")
    hits = json.loads(record.stdout.decode("latin-1"))["hits"]
    assert hits[0]["text"].rstrip() == "Caf\xe9s open at seven … always. 😀"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(indexed: Path, closed: str) -> None:
    for command in ("chat", "ask 'When do dogs bark?'"):
        line = f"{sys.executable} -m rag {command} {closed}"
        done = subprocess.run(["sh", "-c", line], cwd=indexed, input="", capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("columns", ["1", "5", "20"])
def test_the_narrowest_terminal_gets_its_quotes(
    indexed: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = run("search", "dogs bark")
    assert done.code == 0
    assert "Dogs bark at" in done.out


def test_an_empty_no_color_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag.cli.options import colours

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    for value, coloured in (("", True), ("0", False), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        assert colours() is coloured


def test_every_command_that_prints_json_has_its_shape_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json-output.md").read_text(encoding="utf-8")

    def printing(group: Any, *names: str) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from printing(command, *names, name)
            elif any("--json" in option.opts for option in command.params):
                yield " ".join((*names, name))

    commands = list(printing(get_command(app)))
    assert {"ask", "train adapter"} <= set(commands)
    assert [name for name in commands if f"`rag {name} --json`" not in page] == []
