"""What indexes share that keep a small code of each vector and look through all codes for a query.

No graph and no lists: every code is compared, so a search is deterministic and all there is to choose is how many
candidates are scored exactly from the stored vectors. Codes lie in one memory-mapped file in ``dense/``, brought up to
date when a reader first searches: new chunks are coded as the file was fitted, deleted ones are passed over; past 20 %
of them, or at twice the chunks it was fitted to if anything was, it is made anew.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import ClassVar, Generic, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Vectors
from rag.index.approximate import ApproximateIndex
from rag.index.base import Hits, Mask, Rows
from rag.index.derived import DEAD, DerivedFile, rows_of
from rag.index.segments import SegmentedVectors
from rag.index.tensors import Tensor, map_tensors, write_tensors

logger = logging.getLogger(__name__)

LEAST = 1024  # candidates, however few are asked for: half a millisecond, and the ten best are among them
GROWN = 2  # times the chunks it was fitted to: the fit is old
FITTED_ON = 65_536  # vectors at most, a fixed random sample
BLOCK = 16_384  # vectors coded at a time
SEED = 20_240_607

Code = TypeVar("Code", np.float32, np.uint64)
Fitted: TypeAlias = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Codes(Generic[Code]):
    """What a file holds: the codes of `chunks`, made as `fitted` says, which was fitted when there were `size`."""

    fitted: Fitted
    size: int
    codes: NDArray[Code]
    chunks: NDArray[np.int64]

    def outgrown_by(self, size: int) -> bool:
        return bool(self.fitted) and size >= GROWN * self.size


class CodesIndex(ABC, Generic[Code]):
    """A `DenseIndex` over codes of the vectors; subclasses say what a code is and how far it is from a query."""

    name: str
    axis: ClassVar[int] = 0
    """Which axis of the codes counts chunks."""

    def __init__(self, vectors: SegmentedVectors, options: str, *, oversample: int) -> None:
        self.vectors = vectors
        self.options = options
        self.oversample = oversample
        self._approximate = ApproximateIndex(vectors, self)
        self._lock = Lock()
        self._opened: tuple[Codes[Code], Rows] | None = None

    def search(self, queries: Vectors, *, k: int, allowed: Mask | None) -> list[Hits]:
        return self._approximate.search(queries, k=k, allowed=allowed)

    def find(self, queries: Vectors, *, k: int, allowed: Mask) -> Sequence[Rows]:
        """The ``k * oversample`` rows with the nearest codes, `LEAST` at least.

        The file is read, extended or made at the first call.
        """
        with self._lock:
            self._opened = self._opened or self._open()
        held, rows = self._opened
        wanted = (rows >= 0) & allowed[rows]
        places = None if wanted.all() else np.flatnonzero(wanted)
        count, found = max(k * self.oversample, LEAST), list[Rows]()
        for query in queries:
            scores = self._scores(held.fitted, held.codes, query)
            near = _highest(scores if places is None else scores[places], count)
            found.append(rows[near if places is None else places[near]])
        return found

    def _open(self) -> tuple[Codes[Code], Rows]:
        live = self.vectors.chunks[self.vectors.live]
        file = DerivedFile(self.vectors.folder / f"{self.name}.safetensors", f"{self.vectors.key} {self.options}")
        held = self._read(file)
        if held is None or np.isin(held.chunks, live, invert=True).mean() > DEAD or held.outgrown_by(len(live)):
            logger.info("making %s of %d vectors", file.path, len(live))
            held = self._made(np.flatnonzero(self.vectors.live))
            self._write(file, held)
        new = np.flatnonzero(self.vectors.live & np.isin(self.vectors.chunks, held.chunks, invert=True))
        if len(new):
            codes = np.concatenate([held.codes, self._coded(held.fitted, new)], axis=self.axis)
            held = Codes(held.fitted, held.size, codes, np.concatenate([held.chunks, self.vectors.chunks[new]]))
            self._write(file, held)
        return held, rows_of(self.vectors, held.chunks)

    def _made(self, rows: Rows) -> Codes[Code]:
        sample = rows
        if len(rows) > FITTED_ON:
            sample = np.sort(np.random.default_rng(SEED).choice(rows, FITTED_ON, replace=False))
        fitted = self._fit(self.vectors.take(sample))
        return Codes(fitted, len(rows), self._coded(fitted, rows), self.vectors.chunks[rows])

    def _coded(self, fitted: Fitted, rows: Rows) -> NDArray[Code]:
        blocks = (self.vectors.take(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK))
        return np.concatenate([self._encode(fitted, block) for block in blocks], axis=self.axis)

    def _read(self, file: DerivedFile) -> Codes[Code] | None:
        chunks = file.chunks()
        if chunks is None:
            return None
        tensors = map_tensors(file.path)
        codes, size = cast("NDArray[Code]", tensors.pop("codes")), int(tensors.pop("size")[0])
        return Codes(cast("dict[str, NDArray[np.float32]]", tensors), size, codes, chunks)

    def _write(self, file: DerivedFile, held: Codes[Code]) -> None:
        tensors: dict[str, Tensor] = {**held.fitted, "codes": held.codes, "size": np.array([held.size])}
        file.write(held.chunks, lambda path: write_tensors(path, tensors))

    @abstractmethod
    def _fit(self, sample: Vectors) -> Fitted:
        """What codes are made with, from a sample of the vectors."""

    @abstractmethod
    def _encode(self, fitted: Fitted, vectors: Vectors) -> NDArray[Code]:
        """The codes of some vectors, along `axis`."""

    @abstractmethod
    def _scores(self, fitted: Fitted, codes: NDArray[Code], query: Vectors) -> NDArray[np.float32] | NDArray[np.int16]:
        """(chunks,) high is near; how high means nothing."""


def _highest(scores: NDArray[np.float32] | NDArray[np.int16], count: int) -> NDArray[np.int64]:
    """The places of the `count` highest scores, and of all that are level with the last of them, ascending."""
    if count >= len(scores):
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores, len(scores) - count)[len(scores) - count])
