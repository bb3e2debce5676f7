"""Recursive chunking: the coarsest borders that give chunks of the size."""

from __future__ import annotations

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import Size, chunk_of, open_packing, spans
from rag.chunk.specs import Unit
from rag.embed.base import Tokenizer
from rag.types import Chunk, Document


class RecursiveChunker:
    """Cuts at blank lines; what is still too long at line ends, then between sentences, words, and inside words.

    Line breaks of wrapped text are no line ends: they are used only where a sentence is too long.
    Pieces keep to the strongest border that makes them fit, neighbours are then put together while they fit. The next
    chunk begins at the earliest border no more than `overlap` before the last one's end. Chunks neither begin nor end
    with white space.
    """

    def __init__(self, tokenizer: Tokenizer, *, unit: Unit, size: int, overlap: int = 0) -> None:
        self.counter = AtomCounter(tokenizer)
        self.unit = unit
        self.size = size
        self.overlap = overlap

    def chunk(self, document: Document) -> list[Chunk]:
        size = Size.of(self.counter.tokenizer, unit=self.unit, size=self.size, overlap=self.overlap)
        packing = open_packing(self.counter, document.text, size)
        if len(packing.atoms) == 0:
            return []
        ranges = packing.pack(0, len(packing.atoms))
        return [chunk_of(document, *span) for span in spans(self.counter, packing, ranges)]
