"""Principal components: vectors in fewer dimensions for the search, in all of them for the scores. arXiv 2504.08386."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.errors import ConfigError
from rag.index.codes import CodesIndex, Fitted
from rag.index.segments import SegmentedVectors


class PcaIndex(CodesIndex[np.float32]):
    """Codes are ``(v - mean) W``, a query is ``q W``.

    Their inner product is that of the query with ``mean + W code``, the vector that the code stands for, but for
    ``q · mean``, which is the same for all. Centring the query as well, as is usual, would rank by another product than
    the one that was asked for.

    Args:
        dimension: axes to keep; ``None``: as many as explain `variance`.

    Raises (when searched):
        ConfigError: more axes than the vectors have dimensions, or than there are vectors.
    """

    name = "pca"

    def __init__(self, vectors: SegmentedVectors, *, dimension: int | None, variance: float, oversample: int) -> None:
        chosen = f"dimension={dimension}" if dimension else f"variance={variance}"
        super().__init__(vectors, f"pca {chosen}", oversample=oversample)
        self.dimension = dimension
        self.variance = variance

    def _fit(self, sample: Vectors) -> Fitted:
        mean, axes, shares = principal_axes(sample)
        keep = self.dimension or min(int(np.searchsorted(np.cumsum(shares), self.variance)) + 1, len(axes))
        if keep > len(axes):
            raise ConfigError(
                f"ingest.index.dense.dimension: expected at most {len(axes)} "
                f"({len(sample)} vectors of {self.vectors.dimension} dimensions), got {keep}"
            )
        return {"mean": mean, "axes": np.ascontiguousarray(axes[:keep].T)}

    def _encode(self, fitted: Fitted, vectors: Vectors) -> NDArray[np.float32]:
        return np.asarray((vectors - fitted["mean"]) @ fitted["axes"], np.float32)

    def _scores(self, fitted: Fitted, codes: NDArray[np.float32], query: Vectors) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = np.vecdot(codes, query @ fitted["axes"])
        return scores


def principal_axes(vectors: Vectors) -> tuple[Vectors, Vectors, NDArray[np.float64]]:
    """Mean, axes as rows, and the share of the variance along each, largest first.

    The largest loading of each axis is positive, so that the same vectors give the same axes everywhere. There are as
    many axes as vectors or dimensions, whichever is less.

    >>> mean, axes, shares = principal_axes(np.array([[2, 0], [0, 1], [-2, 0], [0, -1]], np.float32))
    >>> axes.tolist(), shares.round(6).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0.8, 0.2])
    """
    centred = vectors.astype(np.float64)
    mean = centred.mean(axis=0)
    centred -= mean
    variances, axes = np.linalg.eigh(centred.T @ centred / len(vectors))  # ascending; axes are columns
    keep = min(vectors.shape)
    variances, axes = np.maximum(variances[::-1][:keep], 0), axes.T[::-1][:keep]
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(keep), largest])[:, np.newaxis]
    shares: NDArray[np.float64] = variances / max(variances.sum(), np.finfo(float).tiny)
    return mean.astype(np.float32), axes.astype(np.float32), shares
