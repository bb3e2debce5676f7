"""Whole documents."""

from __future__ import annotations

from functools import cached_property

from rag.chunk.recursive import RecursiveChunker
from rag.embed.base import Tokenizer
from rag.types import Chunk, Document


class WholeChunker:
    """One chunk a document where the encoder's window holds it; a longer one is cut as `RecursiveChunker` does."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def chunk(self, document: Document) -> list[Chunk]:
        return self._chunker.chunk(document)

    @cached_property
    def _chunker(self) -> RecursiveChunker:
        return RecursiveChunker(self.tokenizer, unit="tokens", size=self.tokenizer.max_tokens)
