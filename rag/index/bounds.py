"""Exact nearest rows from a quarter of the bytes: whole numbers bound every score, vectors decide among the few left.

A row x is ``s * c + e`` with whole c in -127..127, a query q is ``t * b + d`` with whole b in -63..63. So the score q.x
is ``t * s * (b.c)``, where b.c is exact, give or take ``|t * b| |e| + |d| |x|`` (Cauchy and Schwarz). A row whose upper
bound is below the k-th highest lower bound cannot be among the k best; all others are scored from their vectors. The
ranking is that of a full scan, and a test holds it to that. Mean and deviation of all scores need no scan: they are
``q.m`` and ``sqrt(q' C q)`` with the mean m and the covariance C of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.index.base import Rows, Scores
from rag.index.ranking import kth_highest
from rag.index.segments import SegmentedVectors

if TYPE_CHECKING:
    import onnx

BLOCK = 16_384  # rows in one matrix: bounds what making it takes beside the codes
SUMMED = 1024  # rows in double precision at a time: they stay in the processor's cache
ROW_STEPS, QUERY_STEPS = 127, 63  # processors that multiply bytes pairwise add up to 16 bits: 2 * 127 * (64 + 63) fits

Product = Callable[[NDArray[np.uint8]], NDArray[np.int32]]


class Bounds:
    """Codes and moments of the live rows; for 100,000 of 384 dimensions about a second of one processor, and 39 MB.

    Attributes:
        rows: (live rows,) their numbers, ascending.
    """

    def __init__(self, vectors: SegmentedVectors) -> None:
        self.rows: Rows = np.flatnonzero(vectors.live)
        blocks = [self.rows[start : start + BLOCK] for start in range(0, len(self.rows), BLOCK)]
        self._products: list[Product] = []
        scales, errors, norms = [], [], []
        for some in blocks:
            block = vectors.take(some)
            scale = np.maximum(np.abs(block).max(axis=1), np.finfo(np.float32).tiny) / ROW_STEPS
            codes = np.rint(block / scale[:, None])
            errors.append(np.linalg.norm(block - scale[:, None] * codes, axis=1))
            norms.append(np.linalg.norm(block, axis=1).max())
            scales.append(scale)
            self._products.append(_product(codes.astype(np.int8)))
        self._scales: Scores = np.concatenate(scales)
        self._errors: Scores = np.concatenate(errors)
        self._norm = float(max(norms))
        # In float32 a score, the codes' scores and the norms above are each off by this share at most.
        self._rounding = vectors.dimension * 2.0**-22
        parts = [self.rows[start : start + SUMMED] for start in range(0, len(self.rows), SUMMED)]
        self._mean = sum(vectors.take(some).sum(axis=0, dtype=np.float64) for some in parts) / len(self.rows)
        centred = (vectors.take(some) - self._mean for some in parts)
        self._covariance = sum(part.T @ part for part in centred) / len(self.rows)

    def spread(self, query: Vectors) -> tuple[float, float]:
        """Mean and population standard deviation of the query's scores of all live rows."""
        exact = query.astype(np.float64)
        return float(exact @ self._mean), float(np.sqrt(max(exact @ self._covariance @ exact, 0.0)))

    def among(self, query: Vectors, *, k: int) -> Rows:
        """Live rows, ascending, that hold all whose score is among the `k` highest, ties included."""
        scale = max(float(np.abs(query).max()), float(np.finfo(np.float32).tiny)) / QUERY_STEPS
        codes = np.rint(query / scale)
        coded = (codes + QUERY_STEPS + 1).astype(np.uint8)[None]
        whole = np.concatenate([product(coded) for product in self._products])
        scores = whole.astype(np.float32) * (self._scales * np.float32(scale))
        near = scale * float(np.linalg.norm(codes))
        off = float(np.linalg.norm(query - scale * codes)) * self._norm
        off += self._rounding * (near + float(np.linalg.norm(query))) * self._norm
        margins = self._errors * np.float32(near * (1 + self._rounding)) + np.float32(off)
        least = kth_highest(scores - margins, k)
        left: Rows = self.rows[scores + margins >= least]
        return left


def _product(codes: NDArray[np.int8]) -> Product:
    """Multiplies (1, dimension) shifted codes of a query with (rows, dimension) codes, in whole numbers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # bound by memory, as a scan in full precision is
    session = onnxruntime.InferenceSession(
        _model(codes).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def product(query: NDArray[np.uint8]) -> NDArray[np.int32]:
        (found,) = session.run(None, {"query": query})
        return found[0]  # type: ignore[no-any-return]  # onnxruntime has no types

    return product


def _model(codes: NDArray[np.int8]) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    rows, dimension = codes.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["query", "codes", "zero"], ["scores"])],
        "bounds",
        [helper.make_tensor_value_info("query", TensorProto.UINT8, [1, dimension])],
        [helper.make_tensor_value_info("scores", TensorProto.INT32, [1, rows])],
        [
            numpy_helper.from_array(np.ascontiguousarray(codes.T), "codes"),
            numpy_helper.from_array(np.array(QUERY_STEPS + 1, np.uint8), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
