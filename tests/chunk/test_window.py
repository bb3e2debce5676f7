"""What the encoder's window binds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rag.chunk.specs import RecursiveSpec, WholeSpec
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.testing import sample
from rag.types import Document

LONG = Document(id="long", text=" ".join(f"word{n}" for n in range(2000)))


def test_a_chunk_fits_the_window_where_there_are_vectors_and_may_be_longer_where_there_are_none(tmp_path: Path) -> None:
    with sample(tmp_path) as made:
        window = made.resources.embedder.tokenizer.max_tokens
        without = replace(made.resources, index=IndexDirectory(IndexSpec(path=str(tmp_path / "none"), dense=None)))
        for spec in (WholeSpec(), RecursiveSpec(words=5000)):
            bound = spec.build(made.resources).chunk(LONG)
            assert len(bound) > 1
            assert max(made.resources.embedder.tokenizer.count([chunk.text for chunk in bound])) <= window
            (whole,) = spec.build(without).chunk(LONG)
            assert whole.text == LONG.text
