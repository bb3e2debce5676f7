"""A chunk of one or a few sentences, to find by and to widen again when asked."""

from __future__ import annotations

from collections.abc import Iterator

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import Size
from rag.chunk.units import Range, Units, chunks_of
from rag.embed.base import Tokenizer
from rag.types import Chunk, Document


class SentenceChunker:
    """`sentences` a chunk, each beginning `overlap` sentences before the end of the last.

    The chunk that reaches the end is the last. One that is longer than the encoder's window is cut as
    `RecursiveChunker` does.
    """

    def __init__(self, tokenizer: Tokenizer, *, sentences: int = 1, overlap: int = 0) -> None:
        self.counter = AtomCounter(tokenizer)
        self.sentences = sentences
        self.overlap = overlap

    def chunk(self, document: Document) -> list[Chunk]:
        window = self.counter.tokenizer.max_tokens
        units = Units(self.counter, document.text, Size("tokens", window, window))
        return chunks_of(self.counter, document, units, self._groups(len(units)))

    def _groups(self, count: int) -> Iterator[Range]:
        for first in range(0, max(count - self.overlap, min(count, 1)), self.sentences - self.overlap):
            yield first, min(first + self.sentences, count)
