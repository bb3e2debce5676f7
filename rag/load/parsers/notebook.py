"""Jupyter notebooks: the text and the code of the cells, without their outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder
from rag.load.decode import decode
from rag.load.parsers.markdown import MarkdownParser
from rag.types import Part


@dataclass(frozen=True, slots=True)
class NotebookParser:
    """Cells in order: Markdown with its headings, code as code parts."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        try:
            notebook = json.loads(decode(data))
            cells = [(str(cell["cell_type"]), "".join(cell["source"]).strip("\n")) for cell in notebook["cells"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"the notebook is damaged: {error}") from error
        builder = TextBuilder(self.limits)
        for kind, source in cells:
            if kind == "code" and source.strip():
                with builder.part("code"):
                    builder.write(source)
            elif source.strip():
                start, _ = builder.block(source)
                parsed = MarkdownParser(self.limits).parse(source.encode("utf-8", "replace"), name)
                builder.parts += [
                    Part(part.kind, part.start + start, part.end + start, part.name, part.level)
                    for part in parsed.layout.parts
                ]
        return builder.parsed()
