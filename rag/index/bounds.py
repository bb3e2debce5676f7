"""Exact nearest rows from a quarter of the bytes: whole numbers bound every score, vectors decide among the few left.

A row x is ``s * c + e`` with whole c in -127..127, a query q is ``t * b + d`` with whole b in that range. So the score
q.x is ``t * s * (b.c)``, where b.c is exact, give or take ``|t * b| |e| + |d| |x|`` (Cauchy and Schwarz). Of the k rows
highest by codes each scores at least the k-th minus that margin, so a row that is lower by codes than the k-th minus
twice the margin is not among the k best; all others are scored from their vectors. The ranking is that of a full scan,
and a test holds it to that. SimSIMD multiplies bytes into 32 bits: the products are exact. Mean and deviation of all
scores need no scan: with the mean m and the covariance F'F of the rows they are ``q.m`` and ``|F q|``.
"""

from __future__ import annotations

import math

import numpy as np
import simsimd
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.index.base import Rows
from rag.index.ranking import floor
from rag.index.segments import SegmentedVectors

BLOCK = 16_384  # rows coded at a time
SUMMED = 1024  # rows in double precision at a time: they stay in the processor's cache
STEPS = 127
WHOLE = 1 << 24  # whole numbers up to here are exact in single precision, and so are sums and differences of two
TINY = 1e-30  # in place of a largest number of 0
DEPTH = 8  # times `k` rows may be left by their codes, or
SHARE = 40  # one of so many of all, whichever is more: where the margin leaves more, a full scan decides


class Bounds:
    """Codes and moments of the live rows; for 100,000 of 384 dimensions about a second of one processor, and 39 MB.

    Attributes:
        rows: (live rows,) their numbers, ascending.
    """

    def __init__(self, vectors: SegmentedVectors) -> None:
        self.rows: Rows = np.flatnonzero(vectors.live)
        largest = max(float(np.abs(part).max(initial=0.0)) for part in vectors.parts)
        self._scale = max(largest, TINY) / STEPS
        self._codes = np.empty((len(self.rows), vectors.dimension), np.int8)
        error = norm = 0.0
        for start in range(0, len(self.rows), BLOCK):
            block = vectors.take(self.rows[start : start + BLOCK])
            codes = np.rint(block / np.float32(self._scale))
            self._codes[start : start + len(codes)] = codes
            error = max(error, float(np.linalg.norm(block - np.float32(self._scale) * codes, axis=1).max()))
            norm = max(norm, float(np.linalg.norm(block, axis=1).max()))
        self._error, self._norm = error, norm
        # In float32 a score, the codes' score and the norms above are each off by this share at most.
        self._rounding = vectors.dimension * 2.0**-22
        parts = [self.rows[start : start + SUMMED] for start in range(0, len(self.rows), SUMMED)]
        self._mean = sum(vectors.take(some).sum(axis=0, dtype=np.float64) for some in parts) / len(self.rows)
        centred = (vectors.take(some) - self._mean for some in parts)
        variances, axes = np.linalg.eigh(sum(part.T @ part for part in centred) / len(self.rows))
        # A factor: single precision of the covariance itself would leave nothing of a small deviation.
        self._factor = (np.sqrt(np.maximum(variances, 0.0)) * axes).T.astype(np.float32, order="C")

    def spread(self, query: Vectors) -> tuple[float, float]:
        """Mean and population standard deviation of the query's scores of all live rows."""
        along = np.vecdot(self._factor, query)
        return float(np.vecdot(self._mean, query)), _norm(along)

    def among(self, query: Vectors, *, k: int) -> Rows | None:
        """Live rows, ascending, that hold all whose score is among the `k` highest, ties included.

        ``None``: they may be more than `DEPTH` times `k`, and than one of `SHARE` of all.
        """
        if len(self.rows) <= k:
            return self.rows
        scale = max(float(np.abs(query).max()), TINY) / STEPS
        codes = np.rint(query / np.float32(scale))
        scores = self._products(codes)
        near, off = scale * _norm(codes), _norm(query - np.float32(scale) * codes)
        margin = near * self._error + off * self._norm
        margin += self._rounding * (2 * near + off) * (self._norm + self._error)  # |q| is at most near + off
        reach = math.ceil(2 * (1 + self._rounding) * margin / (scale * self._scale))
        likely = np.flatnonzero(scores >= floor(scores, k) - reach)
        among = scores[likely]
        kept = likely[among >= np.partition(among, len(among) - k)[len(among) - k] - reach]
        if len(kept) > max(DEPTH * k, len(self.rows) // SHARE):
            return None
        rows: Rows = self.rows[kept]
        return rows

    def _products(self, codes: Vectors) -> NDArray[np.float32] | NDArray[np.float64]:
        """(live rows,) whole numbers: the products with a query's codes."""
        mine = codes.astype(np.int8)[np.newaxis]
        if codes.size * STEPS**2 < WHOLE:
            single: NDArray[np.float32] = np.asarray(simsimd.cdist(mine, self._codes, "dot", out_dtype="f32"))[0]
            return single
        double: NDArray[np.float64] = np.asarray(simsimd.cdist(mine, self._codes, "dot", out_dtype="f64"))[0]
        return double


def _norm(vector: Vectors) -> float:
    return math.sqrt(float(np.vecdot(vector, vector)))
