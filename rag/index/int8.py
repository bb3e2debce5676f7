"""One byte a dimension: a quarter of the vectors' size. Scanned by FAISS, which has the instructions for it."""

from __future__ import annotations

import faiss  # noqa: TID253, this file is imported when its spec is built
import numpy as np

from rag.index.ann import FaissIndex
from rag.index.segments import SegmentedVectors

FITTED_ON = 65_536  # vectors at most, a fixed random sample
SEED = 20_240_607


class Int8Index(FaissIndex):
    """Each dimension's range in a sample of the vectors is cut into 255 steps; all codes are compared with the query.

    A code is ``floor((x - least) / (largest - least) * 255)``, clipped to 0..255; it stands for the middle of its step.
    """

    name = "int8"

    def __init__(self, vectors: SegmentedVectors, *, oversample: int) -> None:
        super().__init__(vectors, "int8")
        self.oversample = oversample

    def _new(self) -> faiss.Index:
        live = np.flatnonzero(self.vectors.live)
        if len(live) > FITTED_ON:
            live = np.sort(np.random.default_rng(SEED).choice(live, FITTED_ON, replace=False))
        index = scalar_quantizer(self.vectors.dimension)
        index.train(self.vectors.take(live))
        return index

    def _depth(self, k: int) -> int:
        return k * self.oversample

    def _parameters(self, k: int, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # the stubs lack these


def scalar_quantizer(dimension: int) -> faiss.IndexScalarQuantizer:
    """An untrained FAISS index of 8 bits a dimension, by inner product."""
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
