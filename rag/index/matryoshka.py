"""Matryoshka search: the first dimensions for the search, all of them for the scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.embed.truncated import truncated
from rag.errors import ConfigError
from rag.index.codes import CodesIndex, Fitted
from rag.index.segments import SegmentedVectors


class MatryoshkaIndex(CodesIndex[np.float32]):
    """Codes are the first dimensions of each vector, scaled to unit length again. Kusupati et al., arXiv 2205.13147.

    Raises (when searched):
        ConfigError: the vectors have fewer dimensions.
    """

    name = "matryoshka"

    def __init__(self, vectors: SegmentedVectors, *, dimension: int, oversample: int) -> None:
        super().__init__(vectors, f"matryoshka dimension={dimension}", oversample=oversample)
        self.dimension = dimension

    def _fit(self, sample: Vectors) -> Fitted:
        if self.dimension > self.vectors.dimension:
            raise ConfigError(
                f"ingest.index.dense.dimension: expected at most {self.vectors.dimension}, the embedder's, "
                f"got {self.dimension}"
            )
        return {}

    def _encode(self, fitted: Fitted, vectors: Vectors) -> NDArray[np.float32]:
        return truncated(vectors, self.dimension)

    def _scores(self, fitted: Fitted, codes: NDArray[np.float32], query: Vectors) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = np.vecdot(codes, query[: self.dimension])
        return scores
