"""Semantic chunking: cut where neighbouring sentences mean different things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import Size
from rag.chunk.specs import Breakpoints, Unit
from rag.chunk.units import Units, chunks_of, grouped
from rag.types import Chunk, Document

if TYPE_CHECKING:
    from rag.embed.base import Embedder

Distances = NDArray[np.float64]
Far = NDArray[np.bool_]


class SemanticChunker:
    """Embeds each sentence with `buffer` neighbours on either side, and cuts where the next one is far from it.

    The distance of two neighbours is one minus the cosine of their windows; a cut is made where it is strictly greater
    than the document's own threshold. Chunks smaller than `least` are then put to the nearer neighbour while both fit,
    and what is longer than `size` is cut as `RecursiveChunker` does. A window of sentences that is longer than the
    encoder's loses its outermost ones. A document of one or two sentences has no distances to compare.

    The method is known from LangChain's experimental splitter and Haystack's; the size guards are Haystack's.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        unit: Unit,
        size: int,
        least: int = 0,
        buffer: int = 1,
        breakpoints: Breakpoints = "percentile",
        threshold: float | None = None,
    ) -> None:
        self.embedder = embedder
        self.unit = unit
        self.size = size
        self.least = least
        self.buffer = buffer
        self.breakpoints = breakpoints
        self.threshold = threshold

    def chunk(self, document: Document) -> list[Chunk]:
        size = Size.of(self.embedder.tokenizer, unit=self.unit, size=self.size)
        units = Units(self._counter, document.text, size)
        distances = self._distances(units)
        borders = cuts(distances, self.breakpoints, self.threshold)
        groups = grouped(units, borders, distances[[at - 1 for at in borders]].tolist(), least=self.least)
        return chunks_of(self._counter, document, units, groups)

    @cached_property
    def _counter(self) -> AtomCounter:
        return AtomCounter(self.embedder.tokenizer)

    def _distances(self, units: Units) -> Distances:
        """(n - 1,) distances of each window to the next, in [0, 2]."""
        if len(units) < 3:
            return np.zeros(0)
        vectors = self.embedder.embed_documents(self._windows(units)).astype(np.float64)
        cosines: Distances = (vectors[:-1] * vectors[1:]).sum(axis=1)
        return 1 - cosines

    def _windows(self, units: Units) -> list[str]:
        texts = [""] * len(units)
        left = list(range(len(units)))
        for buffer in range(self.buffer, -1, -1):
            for at in left:
                start, end = units.range(max(0, at - buffer), min(len(units), at + buffer + 1))
                texts[at] = units.text[start:end]
            counts = self.embedder.tokenizer.count([texts[at] for at in left])
            window = self.embedder.tokenizer.max_tokens
            left = [at for at, count in zip(left, counts, strict=True) if count > window]
            if not left:
                break
        return texts


def cuts(distances: Distances, breakpoints: Breakpoints, threshold: float | None = None) -> list[int]:
    """The sentences, counted from 0, before which to cut.

    `distances` has one value for each pair of neighbours; a single one says nothing about what is far. Without a
    `threshold`, the rule's own default.

    >>> cuts(np.array([0.1, 0.2, 0.9, 0.15, 0.3]), "percentile", 80)
    [3]
    """
    if len(distances) < 2:
        return []
    default, rule = _RULES[breakpoints]
    far = rule(distances, default if threshold is None else threshold)
    return [int(at) + 1 for at in np.flatnonzero(far)]


def _by_percentile(distances: Distances, threshold: float) -> Far:
    """Above the percentile `threshold` of the distances, linearly interpolated."""
    return np.greater(distances, np.percentile(distances, threshold))


def _by_deviation(distances: Distances, threshold: float) -> Far:
    """More than `threshold` population standard deviations above the mean."""
    limit = float(distances.mean() + threshold * distances.std())
    return np.greater(distances, limit)


def _by_interquartile(distances: Distances, threshold: float) -> Far:
    """More than `threshold` interquartile ranges above the mean; quartiles linearly interpolated."""
    first, third = np.percentile(distances, [25, 75])
    limit = float(distances.mean() + threshold * (third - first))
    return np.greater(distances, limit)


def _by_gradient(distances: Distances, threshold: float) -> Far:
    """Where the gradient (central differences, one-sided at the ends) is above its percentile `threshold`."""
    gradient = np.gradient(distances)
    return np.greater(gradient, np.percentile(gradient, threshold))


_RULES: Mapping[Breakpoints, tuple[float, Callable[[Distances, float], Far]]] = {
    "percentile": (95.0, _by_percentile),
    "deviation": (3.0, _by_deviation),
    "interquartile": (1.5, _by_interquartile),
    "gradient": (95.0, _by_gradient),
}
