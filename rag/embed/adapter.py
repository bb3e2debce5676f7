"""A low-rank change of query vectors, trained for one collection while the encoder and the index stay as they are.

After "Augmented Embeddings for Custom Retrievals", arXiv 2310.05380; the loss and the rank are our own choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rag.embed.around import EmbedderAround
from rag.embed.base import Embedder, EmbedderIdentity, Vectors
from rag.embed.trained import read_trained, write_trained
from rag.errors import ModelError
from rag.types import Scalar

KIND = "query adapter"


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """``e' = e + U Vᵀ e``, brought back to the length of ``e``. `u` and `v` are (d, rank) float32.

    With ``U = 0``, where training begins, every vector stays what it is, to the last bit.
    """

    u: Vectors
    v: Vectors

    def apply(self, vectors: Vectors) -> Vectors:
        """(n, d) to (n, d).

        >>> adapter = Adapter(np.array([[1], [0]], np.float32), np.array([[0], [1]], np.float32))
        >>> adapter.apply(np.array([[0, 1]], np.float32)).astype(float).round(4).tolist()
        [[0.7071, 0.7071]]
        """
        changed = vectors + (vectors @ self.v) @ self.u.T
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        new_lengths = np.linalg.norm(changed, axis=1, keepdims=True)
        scales = np.divide(lengths, new_lengths, out=np.ones_like(lengths), where=new_lengths > 0)
        return np.ascontiguousarray(changed * scales, np.float32)

    def save(self, path: Path, *, identity: EmbedderIdentity, about: Mapping[str, Scalar]) -> None:
        """Write it for one embedder.

        Raises:
            ConfigError: there is such a file already.
        """
        write_trained(path, kind=KIND, identity=identity, tensors={"u": self.u, "v": self.v}, about=about)

    @staticmethod
    def load(path: Path, *, identity: EmbedderIdentity) -> Adapter:
        """Read one that was trained for this embedder.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelError: it is no adapter, or one for another embedder; names both.
        """
        tensors = read_trained(path, kind=KIND, identity=identity)
        u, v = tensors.get("u"), tensors.get("v")
        if u is None or v is None or u.ndim != 2 or u.shape != v.shape or len(u) != identity.dimension:
            shapes = {name: tensor.shape for name, tensor in tensors.items()}
            raise ModelError(f"{path}: expected u and v of shape ({identity.dimension}, rank), found {shapes}")
        return Adapter(u, v)


class AdaptedEmbedder(EmbedderAround):
    """Another embedder with its queries changed by an adapter; documents, and so the index, are the other's.

    Raises (at first use):
        ModelNotFoundError, ModelError: as `Adapter.load`.
    """

    def __init__(self, embedder: Embedder, path: Path) -> None:
        super().__init__(embedder)
        self.path = path

    @property
    def identity(self) -> EmbedderIdentity:
        assert self._adapter  # one of another model is refused when another model is: when the index is opened
        return self.embedder.identity

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._adapter.apply(self.embedder.embed_queries(texts))

    @cached_property
    def _adapter(self) -> Adapter:
        return Adapter.load(self.path, identity=self.query_side.identity)
