"""Makes terminal.svg: runs the commands below in a folder with the example handbook and draws what they print.

python docs/terminal.py
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
WIDTH = 100
DRAFT = """extends: hybrid
ask:
  fuse:
    use: rrf
    keep: 0
    constnat: 60
"""
COMMANDS = (
    'rag ask "Who pays for glasses?" --source handbook',
    'rag ask "How long is the probation period?" --source handbook',
    "rag validate draft.yaml",
)


def session(folder: Path) -> list[tuple[str, str]]:
    """Each command and what it printed, in a folder that has nothing but the handbook and a faulty draft."""
    shutil.copytree(HERE.parent / "examples" / "handbook", folder / "handbook")
    (folder / "draft.yaml").write_text(DRAFT, encoding="utf-8")
    return [(command, output(command, folder)) for command in COMMANDS]


def output(command: str, folder: Path) -> str:
    arguments = [sys.executable, "-m", "rag", *shlex.split(command)[1:]]
    environment = {**os.environ, "COLUMNS": str(WIDTH)}
    done = subprocess.run(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout.rstrip()


def picture(shown: list[tuple[str, str]]) -> str:
    """The session as SVG that fetches nothing. Ids are fixed, so that the same session gives the same file."""
    console = Console(record=True, width=WIDTH, file=StringIO(), legacy_windows=False)
    for command, printed in shown:
        console.print(Text.assemble(("$ ", "green"), (command, "bold")))
        console.print(Text(printed))
        console.print()
    svg = console.export_svg(title="rag", theme=MONOKAI, unique_id="terminal")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, ", "ui-monospace, ")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (HERE / "terminal.svg").write_text(picture(session(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
