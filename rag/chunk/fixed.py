"""Fixed-size chunking."""

from __future__ import annotations

from collections.abc import Iterator

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import WORD_LEVELS, Size, chunk_of, open_packing, spans, without_contained
from rag.chunk.specs import Unit
from rag.embed.base import Tokenizer
from rag.text.graphemes import boundary_at_or_before
from rag.types import Chunk, Document


class FixedChunker:
    """Windows of `size`, each beginning `overlap` before the end of the last; the one that reaches the end is the last.

    Windows in characters are cut wherever the count says, though never inside a grapheme; windows in tokens or words
    between words, and inside a word only if it is longer than the window. A window that is longer than the encoder's is
    cut again. White space at the ends of a window is left out, and so is a window of nothing else.
    """

    def __init__(self, tokenizer: Tokenizer, *, unit: Unit, size: int, overlap: int = 0) -> None:
        self.counter = AtomCounter(tokenizer)
        self.unit = unit
        self.size = size
        self.overlap = overlap

    def chunk(self, document: Document) -> list[Chunk]:
        if self.unit == "characters":
            return self._by_characters(document)
        size = Size.of(self.counter.tokenizer, unit=self.unit, size=self.size, overlap=self.overlap)
        packing = open_packing(self.counter, document.text, size)
        if len(packing.atoms) == 0:
            return []
        ranges = packing.pack(0, len(packing.atoms), levels=WORD_LEVELS)
        return [chunk_of(document, *span) for span in spans(self.counter, packing, ranges)]

    def _by_characters(self, document: Document) -> list[Chunk]:
        text, tokenizer = document.text, self.counter.tokenizer
        windows = list(self._windows(text))
        counts = tokenizer.count([text[start:end] for start, end in windows])
        cut: list[tuple[int, int]] = []
        for (start, end), tokens in zip(windows, counts, strict=True):
            cut += [(start, end)] if tokens <= tokenizer.max_tokens else self._cut_again(text, start, end)
        return [chunk_of(document, start, end) for start, end in without_contained(cut)]

    def _windows(self, text: str) -> Iterator[tuple[int, int]]:
        start, done = _skip_space(text, 0), 0
        while start < len(text):
            end = boundary_at_or_before(text, min(start + self.size, len(text)), after=start)
            if end <= done:  # a long grapheme: the overlap leaves no room for anything new
                start = _skip_space(text, done)
                continue
            yield start, start + len(text[start:end].rstrip())
            if end == len(text):
                return
            done = end
            start = _skip_space(text, boundary_at_or_before(text, max(end - self.overlap, start + 1), after=start))

    def _cut_again(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        window = self.counter.tokenizer.max_tokens
        packing = open_packing(self.counter, text[start:end], Size("tokens", window, window))
        ranges = packing.pack(0, len(packing.atoms), levels=WORD_LEVELS)
        return [(start + first, start + last) for first, last in spans(self.counter, packing, ranges)]


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
