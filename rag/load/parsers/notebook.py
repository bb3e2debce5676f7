"""Jupyter notebooks: the text and the code of the cells, and what the code printed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder
from rag.load.decode import decode
from rag.load.parsers.markdown import MarkdownParser
from rag.types import Part

_OUTPUT_CHARACTERS = 8000  # of one cell; the log of a training can be most of a notebook
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_REPR = re.compile(r"<[^\n]*>")  # <Figure size 640x480 with 1 Axes>, <pandas.io.formats.style.Styler at 0x7f1c>
_WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True, slots=True)
class NotebookParser:
    """Cells in order: Markdown with its headings, code as code parts, then its outputs as text.

    Of outputs what was printed, the plain form of values, and the last line of errors; no pictures and no HTML, whose
    plain form stands beside it. A cell with long outputs keeps their beginning and their end.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        try:
            notebook = json.loads(decode(data))
            cells = [(str(cell["cell_type"]), _joined(cell["source"]), _outputs(cell)) for cell in notebook["cells"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"the notebook is damaged: {error}") from error
        builder = TextBuilder(self.limits)
        for kind, source, outputs in cells:
            if kind == "code" and source.strip():
                with builder.part("code"):
                    builder.write(source.strip("\n"))
            elif source.strip():
                self._write_markdown(source.strip("\n"), name, builder)
            if outputs:
                builder.block(f"Output:\n{outputs}")
        return builder.parsed()

    def _write_markdown(self, source: str, name: str, builder: TextBuilder) -> None:
        start, _ = builder.block(source)
        parsed = MarkdownParser(self.limits).parse(source.encode("utf-8", "replace"), name)
        builder.parts += [
            Part(part.kind, part.start + start, part.end + start, part.name, part.level) for part in parsed.layout.parts
        ]


def _outputs(cell: Mapping[str, object]) -> str:
    outputs = cell.get("outputs")
    found = [_shown(output) for output in outputs] if isinstance(outputs, list) else []
    text = "\n".join(filter(None, (each.strip("\n") for each in found)))
    left_out = len(text) - _OUTPUT_CHARACTERS
    if left_out <= 0:
        return text
    half = _OUTPUT_CHARACTERS // 2
    return f"{text[:half]}\n[... {left_out:,} characters of output ...]\n{text[-half:]}"


def _shown(output: Mapping[str, object]) -> str:
    """What a reader of the notebook reads of one output."""
    data = output.get("data")
    if output.get("output_type") == "stream":
        text = _joined(output.get("text", ""))
    elif output.get("output_type") == "error":
        text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
    elif isinstance(data, Mapping) and _WIDGET not in data:
        text = _joined(data.get("text/markdown") or data.get("text/plain") or "")
        text = "" if _REPR.fullmatch(text) else text
    else:
        text = ""
    # What a carriage return starts over, such as a progress bar, is read in its last state.
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in _COLOURS.sub("", text).split("\n"))


def _joined(lines: object) -> str:
    """A text, or a list of its lines.

    >>> _joined(["a\\n", "b"]), _joined("c")
    ('a\\nb', 'c')
    """
    return "".join(lines) if isinstance(lines, list) else str(lines)
