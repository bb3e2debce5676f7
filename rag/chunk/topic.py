"""Chunking by topic change: cut where the words change."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import Size
from rag.chunk.specs import Unit
from rag.chunk.units import Units, chunks_of, grouped
from rag.embed.base import Tokenizer
from rag.text.analyze import Analyzer
from rag.types import Chunk, Document

Similarities = NDArray[np.float64]


class TopicChunker:
    """Compares the `block` terms on either side of each sentence border and cuts in the valleys of their similarity.

    TextTiling (Hearst, Computational Linguistics 23(1), 1997) with sentences in place of its token sequences: cosines
    of term counts, smoothed once over the neighbouring borders, and a cut wherever the valley is deeper than the mean
    depth less `cutoff` standard deviations. Chunks smaller than `least` are then put to the neighbour across
    the shallower valley while both fit, and what is longer than `size` is cut as `RecursiveChunker` does. No model.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        unit: Unit,
        size: int,
        least: int = 0,
        block: int = 60,
        cutoff: float = 0.5,
        language: str = "auto",
    ) -> None:
        self.counter = AtomCounter(tokenizer)
        self.unit = unit
        self.size = size
        self.least = least
        self.block = block
        self.cutoff = cutoff
        self.language = language

    def chunk(self, document: Document) -> list[Chunk]:
        size = Size.of(self.counter.tokenizer, unit=self.unit, size=self.size)
        units = Units(self.counter, document.text, size)
        terms = [self._analyzer.terms(document.text[start:end]) for start, end in units.ranges]
        found = valleys(smoothed(similarities(terms, block=self.block)), cutoff=self.cutoff)
        groups = grouped(units, [at + 1 for at, _ in found], [depth for _, depth in found], least=self.least)
        return chunks_of(self.counter, document, units, groups)

    @cached_property
    def _analyzer(self) -> Analyzer:
        return Analyzer(language=self.language)


def similarities(terms: Sequence[Sequence[str]], *, block: int) -> Similarities:
    """The cosine of the term counts on both sides of each sentence border, ``(n - 1,)`` in [0, 1].

    A side is as many whole sentences as make `block` terms, fewer at the ends of the text; without terms it is 0.

    >>> similarities([["cat", "mat"], ["cat", "cat"], ["dog"]], block=2).round(4).tolist()
    [0.7071, 0.0]
    """
    flat = [term for sentence in terms for term in sentence]
    ends = list(accumulate(map(len, terms), initial=0))  # of the terms before each sentence
    found = np.zeros(max(0, len(terms) - 1))
    for border in range(1, len(terms)):
        at = ends[border]
        start = ends[max(0, bisect_right(ends, at - block) - 1)]
        end = ends[min(len(terms), bisect_left(ends, at + block))]
        found[border - 1] = _cosine(Counter(flat[start:at]), Counter(flat[at:end]))
    return found


def smoothed(values: Similarities) -> Similarities:
    """Each value averaged with its neighbours, itself counted twice: a single low value stays the lowest."""
    sums, weights = 2 * values, np.full(len(values), 2.0)
    for to, of in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        sums[to] += values[of]
        weights[to] += 1
    averages: Similarities = sums / weights
    return averages


def valleys(values: Similarities, *, cutoff: float) -> list[tuple[int, float]]:
    """The local minima that are deep, each with its depth, in order.

    Depth is how far the similarity climbs on the left and on the right before it falls again, added up. Deep is more
    than the mean of all depths less `cutoff` population standard deviations. The ends of the values are no valleys.

    >>> [(at, round(depth, 4)) for at, depth in valleys(np.array([0.8, 0.2, 0.6, 0.1, 0.7]), cutoff=0.5)]
    [(1, 1.0), (3, 1.1)]
    """
    if len(values) == 0:
        return []
    left = _peaks(values.tolist())
    right = _peaks(values[::-1].tolist())[::-1]
    depths = np.array(left) + np.array(right) - 2 * values
    limit = max(0.0, float(depths.mean() - cutoff * depths.std()))
    return [
        (at, float(depths[at]))
        for at in np.flatnonzero(depths > limit).tolist()
        # It climbs on both sides, and of a flat valley this is the first border.
        if values[at] < min(left[at], right[at]) and values[at - 1] > values[at]
    ]


def _peaks(values: Sequence[float]) -> list[float]:
    """How high each place climbs to its left before the values fall again."""
    peaks: list[float] = []
    for at, value in enumerate(values):
        peaks.append(peaks[-1] if at and values[at - 1] >= value else value)
    return peaks


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    product = sum(count * other[term] for term, count in one.items() if term in other)
    lengths = sum(count * count for count in one.values()) * sum(count * count for count in other.values())
    return product / math.sqrt(lengths) if lengths else 0.0
