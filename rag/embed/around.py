"""The base of embedders that stand around another one and change some of its vectors."""

from __future__ import annotations

from collections.abc import Sequence

from rag.embed.base import Embedder, EmbedderIdentity, Probed, Tokenizer, TokenStates, Vectors
from rag.errors import ModelError


class EmbedderAround:
    """Passes everything on to `embedder`; subclasses override what they change."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    @property
    def identity(self) -> EmbedderIdentity:
        return self.embedder.identity

    @property
    def query_side(self) -> Embedder:
        """The embedder that makes the query vectors, before anything trained changes them."""
        return query_side(self.embedder)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.embedder.tokenizer

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.embed_queries(texts)

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        """The states of the encoder within, where it gives any.

        Raises:
            ModelError: it gives none, or a text is longer than its window.
        """
        if not isinstance(self.embedder, TokenStates):
            raise ModelError(f"{type(self.embedder).__name__} gives vectors of texts, not of tokens")
        return self.embedder.token_states(texts)

    def require_alignment(self, texts: Sequence[str], vectors: Vectors) -> None:
        if isinstance(self.embedder, Probed):
            self.embedder.require_alignment(texts, vectors)

    def close(self) -> None:
        self.embedder.close()


def query_side(embedder: Embedder) -> Embedder:
    """What an adapter of queries belongs to: the embedder itself, or the one within that makes its query vectors."""
    return embedder.query_side if isinstance(embedder, EmbedderAround) else embedder
