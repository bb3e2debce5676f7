from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rag.embed.hash import HashEmbedder
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.testing import SampleResources
from rag.types import Chunk, Document, Ranking, ScoredChunk, Span

Spans = Sequence[tuple[int, int]]
Index = Callable[[Document, Spans], SampleResources]
Rank = Callable[[Document, Spans], Ranking]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Makes an index of one document, cut at the given spans."""
    made: list[IndexDirectory] = []

    def make(document: Document, spans: Spans) -> SampleResources:
        directory = IndexDirectory(IndexSpec(path=str(tmp_path / f"index{len(made)}")))
        made.append(directory)
        embedder = HashEmbedder()
        with directory.writer(embedder.identity) as writer:
            chunks = [_chunk(document, *span) for span in spans]
            vectors = embedder.embed_documents([chunk.text for chunk in chunks])
            writer.add(document, chunks, vectors, stamp="", fingerprint="")
            writer.commit()
        return SampleResources(embedder, directory, {})

    yield make
    for directory in made:
        directory.close()


@pytest.fixture
def rank() -> Rank:
    """Hits at these spans, the first with score 1, each next with half of it."""

    def make(document: Document, spans: Spans) -> Ranking:
        hits = (ScoredChunk(_chunk(document, *span), 0.5**at, f"given-{at}") for at, span in enumerate(spans))
        return Ranking(tuple(hits))

    return make


def _chunk(document: Document, start: int, end: int) -> Chunk:
    return Chunk(
        span=Span(document.id, start, end), text=document.text[start:end], context=f"at {start}", meta={"start": start}
    )
