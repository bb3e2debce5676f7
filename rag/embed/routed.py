"""Several query adapters, one chosen for each query. RouterRetriever, arXiv 2409.02685."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.embed.adapter import Adapter
from rag.embed.around import EmbedderAround
from rag.embed.base import Embedder, EmbedderIdentity, Vectors
from rag.embed.trained import read_trained, write_trained
from rag.errors import ModelError
from rag.types import Scalar

KIND = "query router"
Aggregate: TypeAlias = Literal["max", "mean"]


@dataclass(frozen=True, slots=True, eq=False)
class Router:
    """Experts and where they are at home. Expert 0 is the encoder as it is; expert n is ``experts[n - 1]``.

    Attributes:
        pilots: (p, d) unit length, each the middle of questions that one expert answers best.
        owners: (p,) that expert's number.
    """

    pilots: Vectors
    owners: NDArray[np.int64]
    experts: tuple[Adapter, ...]

    def choose(self, vectors: Vectors, *, aggregate: Aggregate, least_margin: float) -> NDArray[np.int64]:
        """(n,) the expert of each query: the one whose pilots are most similar, equals by number.

        Args:
            vectors: (n, d), the encoder's.
            aggregate: whether an expert's similarity is that of its nearest pilot or the mean of all its pilots. The
                authors' code takes the nearest, the paper describes the mean.
            least_margin: expert 0 takes a query whose best expert is ahead of the next by less than this.

        >>> pilots = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], np.float32)
        >>> router = Router(pilots, np.array([1, 1, 2]), ())
        >>> query = np.array([[0.6, 0.8]], np.float32)
        >>> router.choose(query, aggregate="max", least_margin=0.02).tolist()
        [2]
        """
        similar = vectors @ self.pilots.T
        numbers = np.unique(self.owners)
        merged = np.max if aggregate == "max" else np.mean
        scores = np.stack([merged(similar[:, self.owners == number], axis=1) for number in numbers], axis=1)
        chosen: NDArray[np.int64] = numbers[scores.argmax(axis=1)]
        if len(numbers) > 1:
            best = np.sort(scores, axis=1)
            chosen[best[:, -1] - best[:, -2] < least_margin] = 0
        return chosen

    def apply(self, vectors: Vectors, chosen: NDArray[np.int64]) -> Vectors:
        """Each query changed by its expert."""
        changed = vectors.copy()
        for number, expert in enumerate(self.experts, 1):
            mine = chosen == number
            changed[mine] = expert.apply(vectors[mine])
        return changed

    def save(self, path: Path, *, identity: EmbedderIdentity, about: Mapping[str, Scalar]) -> None:
        """Write it, experts and all, for one embedder.

        Raises:
            ConfigError: there is such a file already.
        """
        tensors = {"pilots": self.pilots, "owners": self.owners.astype(np.float32)}
        for number, expert in enumerate(self.experts, 1):
            tensors |= {f"u.{number}": expert.u, f"v.{number}": expert.v}
        write_trained(path, kind=KIND, identity=identity, tensors=tensors, about=about)

    @staticmethod
    def load(path: Path, *, identity: EmbedderIdentity) -> Router:
        """Read one that was made for this embedder.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelError: it is no router, or one for another embedder; names both.
        """
        tensors = read_trained(path, kind=KIND, identity=identity)
        try:
            pilots, owners = tensors.pop("pilots"), tensors.pop("owners").astype(np.int64)
            count = len(tensors) // 2
            experts = tuple(Adapter(tensors.pop(f"u.{n}"), tensors.pop(f"v.{n}")) for n in range(1, count + 1))
        except KeyError as error:
            raise ModelError(f"{path}: it has no {error.args[0]!r}") from error
        width, whole = identity.dimension, len(pilots) == len(owners) > 0
        sized = pilots.shape[1:] == (width,) and all(len(expert.u) == len(expert.v) == width for expert in experts)
        if not whole or not sized or not np.isin(owners, np.arange(count + 1)).all():
            raise ModelError(f"{path}: its pilots and experts do not fit each other")
        return Router(pilots, owners, experts)


class RoutedEmbedder(EmbedderAround):
    """Another embedder, each query changed by the expert that a router chooses; documents are the other's.

    Raises (at first use):
        ModelNotFoundError, ModelError: as `Router.load`.
    """

    def __init__(self, embedder: Embedder, path: Path, *, aggregate: Aggregate, least_margin: float) -> None:
        super().__init__(embedder)
        self.path = path
        self.aggregate: Aggregate = aggregate
        self.least_margin = least_margin

    @property
    def identity(self) -> EmbedderIdentity:
        assert self._router  # one for another model is refused when another model is: when the index is opened
        return self.embedder.identity

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors = self.embedder.embed_queries(texts)
        chosen = self._router.choose(vectors, aggregate=self.aggregate, least_margin=self.least_margin)
        return self._router.apply(vectors, chosen)

    @cached_property
    def _router(self) -> Router:
        return Router.load(self.path, identity=self.query_side.identity)
