"""FAISS indexes: a neighbour graph (HNSW) and inverted lists of compressed vectors (IVF-PQ), both by inner product.

Their files lie in ``dense/`` and are brought up to date when a reader first searches them: new chunks are added,
deleted ones are passed over, and past 20 % of them the file is built anew.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isqrt
from threading import Lock

import faiss  # noqa: TID253, this file is imported when its spec is built
import numpy as np

from rag.embed.base import Vectors
from rag.errors import ConfigError
from rag.index.approximate import ApproximateIndex
from rag.index.base import Hits, Mask, Rows
from rag.index.derived import DEAD, DerivedFile, rows_of
from rag.index.segments import SegmentedVectors

logger = logging.getLogger(__name__)

BLOCK = 16_384  # vectors handed to FAISS at a time
SEED = 20_240_607
BITS = 8  # of a product quantiser's code: 256 centroids each
TRAINED_ON = 64  # vectors for each centroid; FAISS asks for at least 39


class FaissIndex(ABC):
    """A `DenseIndex` over a FAISS index kept in a file; subclasses say which."""

    name: str

    def __init__(self, vectors: SegmentedVectors, options: str) -> None:
        self.vectors = vectors
        self.options = options
        self._approximate = ApproximateIndex(vectors, self)
        self._lock = Lock()
        self._index: tuple[faiss.Index, Rows] | None = None

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        return self._approximate.search(queries, k=k, allowed=allowed)

    def find(self, queries: Vectors, *, k: int, allowed: Mask) -> Sequence[Rows]:
        """Candidates from FAISS; the file is read, extended or built at the first call."""
        with self._lock:
            self._index = self._index or self._open()
        index, rows = self._index
        wanted = (rows >= 0) & allowed[rows]
        bits = np.packbits(wanted, bitorder="little")  # must outlive the selector, which only points to it
        selector = None if wanted.all() else faiss.IDSelectorBitmap(len(wanted), faiss.swig_ptr(bits))
        parameters = self._parameters(k, selector)
        _, places = index.search(np.ascontiguousarray(queries), self._depth(k), params=parameters)
        return [rows[some[some >= 0]] for some in places]

    def _open(self) -> tuple[faiss.Index, Rows]:
        """The index, and for each place in it the row of its vector, -1 where the chunk was deleted."""
        live = self.vectors.chunks[self.vectors.live]
        key = f"{self.vectors.key} {self.options} faiss {faiss.__version__}"
        file = DerivedFile(self.vectors.folder / f"{self.name}.faiss", key)
        held = file.chunks()
        if held is not None and np.count_nonzero(np.isin(held, live, invert=True)) <= DEAD * len(held):
            index = faiss.read_index(str(file.path))
        else:
            logger.info("building %s of %d vectors", file.path, len(live))
            held, index = np.empty(0, np.int64), self._new()
        new = np.flatnonzero(self.vectors.live & np.isin(self.vectors.chunks, held, invert=True))
        if len(new):
            for start in range(0, len(new), BLOCK):
                index.add(self.vectors.take(new[start : start + BLOCK]))
            held = np.concatenate([held, self.vectors.chunks[new]])
            file.write(held, lambda path: faiss.write_index(index, str(path)))
        return index, rows_of(self.vectors, held)

    @abstractmethod
    def _new(self) -> faiss.Index:
        """An empty index, trained if its kind needs that."""

    @abstractmethod
    def _depth(self, k: int) -> int:
        """How many candidates to ask for."""

    @abstractmethod
    def _parameters(self, k: int, selector: faiss.IDSelector | None) -> faiss.SearchParameters: ...


class HnswIndex(FaissIndex):
    """Hierarchical navigable small worlds. Malkov and Yashunin, arXiv 1603.09320."""

    name = "hnsw"

    def __init__(self, vectors: SegmentedVectors, *, m: int, ef_construction: int, ef_search: int) -> None:
        super().__init__(vectors, f"hnsw m={m} ef_construction={ef_construction}")
        self.m = m
        self.ef_construction = ef_construction
        self.ef_search = ef_search

    def _new(self) -> faiss.Index:
        index = faiss.IndexHNSWFlat(self.vectors.dimension, self.m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.ef_construction
        return index

    def _depth(self, k: int) -> int:
        return max(k, self.ef_search)

    def _parameters(self, k: int, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        parameters: faiss.SearchParameters = faiss.SearchParametersHNSW(  # type: ignore[attr-defined]  # not in the stubs
            efSearch=self._depth(k), sel=selector
        )
        return parameters


class IvfPqIndex(FaissIndex):
    """Inverted lists of product-quantised vectors. Jégou, Douze and Schmid, PAMI 2011."""

    name = "ivfpq"

    def __init__(
        self,
        vectors: SegmentedVectors,
        *,
        lists: int | None,
        probes: int | None,
        subquantizers: int | None,
        rescore: int,
    ) -> None:
        super().__init__(vectors, f"ivfpq lists={lists} subquantizers={subquantizers}")
        self.lists = lists
        self.probes = probes
        self.subquantizers = subquantizers
        self.rescore = rescore

    def _new(self) -> faiss.Index:
        dimension, live = self.vectors.dimension, np.flatnonzero(self.vectors.live)
        lists = self.lists or max(1, min(4 * isqrt(len(live)), len(live) // TRAINED_ON))
        bytes_ = self.subquantizers or _divisor_below(dimension, dimension // 4)
        if dimension % bytes_:
            raise ConfigError(f"subquantizers: expected a divisor of the dimension {dimension}, got {bytes_}")
        # "np": no polysemous codes, which no search here uses and which take most of the time of training.
        index = faiss.index_factory(dimension, f"IVF{lists},PQ{bytes_}x{BITS}np", faiss.METRIC_INNER_PRODUCT)
        wanted = min(len(live), TRAINED_ON * max(lists, 1 << BITS))
        index.train(self.vectors.take(np.sort(np.random.default_rng(SEED).choice(live, wanted, replace=False))))
        return index

    def _depth(self, k: int) -> int:
        return k * self.rescore

    def _parameters(self, k: int, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        assert self._index is not None
        lists = faiss.extract_index_ivf(self._index[0]).nlist
        probes = min(self.probes or max(1, lists // 8), lists)
        return faiss.SearchParametersIVF(nprobe=probes, sel=selector)  # type: ignore[call-arg]  # the stubs lack these


def _divisor_below(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`, and 1 at the least."""
    return next(divisor for divisor in range(max(most, 1), 0, -1) if number % divisor == 0)
