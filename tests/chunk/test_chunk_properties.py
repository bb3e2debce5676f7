from __future__ import annotations

from typing import Literal, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.chunk.base import Chunker
from rag.chunk.fixed import FixedChunker
from rag.chunk.headings import HeadingsChunker
from rag.chunk.recursive import RecursiveChunker
from rag.chunk.semantic import SemanticChunker
from rag.chunk.sentence import SentenceChunker
from rag.chunk.specs import Breakpoints
from rag.chunk.topic import TopicChunker
from rag.chunk.whole import WholeChunker
from rag.embed.base import Tokenizer
from rag.embed.hash import HashEmbedder
from rag.types import Document, Layout, Part

ALPHABET = (
    "ab .,!?-\n\r\t\x0b\x0c\x1c\x85\xa0\u2028\u2029\u3000"  # white space of all kinds
    "éİßﬁe\u0301\u0323ñ"  # letters that change their length in lower case or when decomposed
    "👩\u200d👧🏽🇩🇪❤\ufe0f\u200b\u00ad"  # sequences, flags, invisible characters
    "今天。日本語ｶﾞ각ᄀ\u1161א\u05b0مرحبا\u202b۔क\u093fक्ष।"
)
UNICODE = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
DENSE = st.text(st.sampled_from(ALPHABET), max_size=200)
WORDY = st.lists(st.sampled_from(["the", "tokenization", "x" * 150, "\n\n", "\r\n", " ", "End. ", "今天。" * 20])).map(
    " ".join
)
TEXTS = UNICODE | DENSE | WORDY


class Hashed(HashEmbedder):
    """The hash embedder with another encoder's tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(dimension=16)
        self._tokenizer = tokenizer

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    parts = []
    kind: Literal["heading", "table", "code", "slide"]
    for start, end in draw(st.lists(places, max_size=4)):
        kind = draw(st.sampled_from(["heading", "table", "code", "slide"]))
        parts.append(Part(kind, start, end, name="1", level=draw(st.integers(1, 3)) if kind == "heading" else 0))
    return Document(id="d", text=text, layout=Layout(parts=tuple(sorted(parts, key=lambda part: part.start))))


@pytest.mark.parametrize("name", ["words", "wordpiece", "bytelevel"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents(), size=st.integers(1, 40), overlap=st.integers(0, 12), data=st.data())
def test_chunks_are_exact_ordered_within_the_size_and_cover_the_text(
    tokenizer_by_name: dict[str, Tokenizer],
    name: str,
    document: Document,
    size: int,
    overlap: int,
    data: st.DataObject,
) -> None:
    tokenizer = tokenizer_by_name[name]
    overlap = min(overlap, size - 1)
    unit = data.draw(st.sampled_from(["tokens", "characters", "words"]))
    rule = data.draw(st.sampled_from(get_args(Breakpoints)))
    chunker: Chunker = data.draw(
        st.sampled_from(
            [
                FixedChunker(tokenizer, unit=unit, size=size, overlap=overlap),
                RecursiveChunker(tokenizer, unit=unit, size=size, overlap=overlap),
                HeadingsChunker(tokenizer, unit=unit, size=size),
                HeadingsChunker(tokenizer, unit=unit, size=size, merge=False),
                SemanticChunker(Hashed(tokenizer), unit=unit, size=size, least=overlap, breakpoints=rule, threshold=1),
                TopicChunker(tokenizer, unit=unit, size=size, least=overlap, block=3, cutoff=2),
                SentenceChunker(tokenizer, sentences=1 + overlap % 4, overlap=(overlap % 4) // 2),
                WholeChunker(tokenizer),
            ]
        )
    )
    chunks = chunker.chunk(document)

    covered = [False] * len(document.text)
    for chunk in chunks:
        start, end = chunk.span.start, chunk.span.end
        assert chunk.text == document.text[start:end]
        assert chunk.text == chunk.text.strip() != ""
        covered[start:end] = [True] * (end - start)
    assert all(seen or char.isspace() for seen, char in zip(covered, document.text, strict=True))
    starts = [chunk.span.start for chunk in chunks]
    assert starts == sorted(set(starts))

    counts = tokenizer.count([chunk.text for chunk in chunks])
    for chunk, tokens in zip(chunks, counts, strict=True):
        single = len(chunk.text) == 1  # one character may have several tokens, and cannot be cut
        assert tokens <= tokenizer.max_tokens or single
        if isinstance(chunker, WholeChunker | SentenceChunker):
            continue
        if unit == "tokens":
            assert tokens <= size or single
        elif unit == "words":
            assert len(chunk.text.split()) <= size
        else:
            assert len(chunk.text) <= size
