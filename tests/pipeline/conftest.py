"""A small corpus and a pipeline over it that needs no model weights: hashed vectors and BM25."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rag import Components, Pipeline

TEXTS = {
    "animals.md": "# Animals\n\nDogs bark at the postman. Cats sleep for sixteen hours a day.\n\n"
    "## Birds\n\nAn owl hunts at night. Penguins cannot fly.\n",
    "ships.txt": "The Vasa sank in 1628 on its first voyage.\r\nIt was raised in 1961.\r\n",
    "hafen.md": "# Häfen\n\nHamburg hat den größten Hafen Deutschlands. 🚢 "
    "Der Elbtunnel führt unter dem Fluss hindurch.\n",
}

Make = Callable[..., Pipeline]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture
def make(corpus: Path, tmp_path: Path) -> Iterator[Make]:
    """``make("ask.fuse.keep=3", ...)``: the hybrid pipeline over `corpus` with hashed vectors."""
    with ExitStack() as open_pipelines:

        def build(*overrides: str, components: Components | None = None) -> Pipeline:
            common = [
                f"ingest.load=[{{use: files, root: {json.dumps(str(corpus))}}}]",
                f"ingest.index.path={json.dumps(str(tmp_path / 'index'))}",
                "ingest.embed={use: hash, dimension: 64}",
            ]
            pipeline = Pipeline.from_yaml("hybrid", overrides=[*common, *overrides], components=components)
            return open_pipelines.enter_context(pipeline)

        yield build
