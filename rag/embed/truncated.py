"""Matryoshka truncation: the first dimensions of a model that was trained for it. Kusupati et al., arXiv 2205.13147."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rag.embed.around import EmbedderAround
from rag.embed.base import Embedder, EmbedderIdentity, Vectors
from rag.errors import ConfigError


class TruncatedEmbedder(EmbedderAround):
    """The first `dimension` dimensions of another embedder's vectors, scaled to unit length again.

    Only models trained with the Matryoshka loss keep their meaning in the first dimensions; for others use ``use: pca``
    in the index. The identity's dimension is the truncated one, so the index refuses vectors of another length.

    Raises (at first use):
        ConfigError: the model has fewer dimensions.
    """

    def __init__(self, embedder: Embedder, *, dimension: int) -> None:
        super().__init__(embedder)
        self.dimension = dimension

    @property
    def identity(self) -> EmbedderIdentity:
        whole = self.embedder.identity
        if self.dimension > whole.dimension:
            raise ConfigError(
                f"ingest.embed.dimension: expected at most {whole.dimension}, the dimension of {whole.model}, "
                f"got {self.dimension}"
            )
        return replace(whole, dimension=self.dimension)

    @property
    def query_side(self) -> Embedder:
        return self

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return truncated(self.embedder.embed_documents(texts), self.identity.dimension)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return truncated(self.embedder.embed_queries(texts), self.identity.dimension)

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        dimension = self.identity.dimension
        return [np.ascontiguousarray(states[:, :dimension]) for states in super().token_states(texts)]


def truncated(vectors: Vectors, dimension: int) -> Vectors:
    """The first dimensions of each row, scaled to unit length; a row without any length there becomes the first axis.

    >>> truncated(np.array([[3, 4, 12]], np.float32) / 13, 2).astype(float).round(6).tolist()
    [[0.6, 0.8]]
    """
    cut = np.array(vectors[:, :dimension], np.float32, order="C")
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    cut[lengths[:, 0] == 0, 0] = 1.0
    cut /= np.where(lengths > 0, lengths, 1)
    return cut
