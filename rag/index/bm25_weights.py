"""What each term adds to a chunk's BM25 score: the formulas, and the weights that are kept in memory.

Formulas as compared by Kamphuis, de Vries, Boytsov and Lin, ECIR 2020; defaults of Robertson and Zaragoza, 2009.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Rows, Scores
from rag.index.postings import AllPostings

Variant = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
Floats = NDArray[np.float64]

FREQUENT = 3  # a term in more than one of so many rows takes fewer bytes with a weight for every row
KEPT_BYTES = 64 << 20  # weights of recent query terms, so that a warm query only adds


@dataclass(frozen=True, slots=True)
class Formula:
    """The weight of a term.

    With l = 1 - b + b * length / average length, tf a term's count and df its document frequency of N chunks:

    ==========  ================================  ==================================
    variant     inverse document frequency        weight of a term
    ==========  ================================  ==================================
    lucene      ln(1 + (N - df + .5)/(df + .5))   tf / (tf + k1 l)
    robertson   ln((N - df + .5)/(df + .5)), >=0  tf / (tf + k1 l)
    atire       ln(N / df)                        (k1 + 1) tf / (tf + k1 l)
    bm25l       ln((N + 1)/(df + .5))             (k1 + 1) (tf/l + d) / (k1 + tf/l + d)
    bm25+       ln((N + 1)/df)                    d + (k1 + 1) tf / (tf + k1 l)
    ==========  ================================  ==================================

    The last two give a term of the collection that a chunk lacks (tf = 0) a weight as well: the same for every such
    chunk, so it moves no rank.
    """

    variant: Variant
    k1: float
    delta: float

    def idf(self, df: int, n: int) -> float:
        """The inverse document frequency of a term in `df` of `n` chunks."""
        match self.variant:
            case "lucene":
                return log(1 + (n - df + 0.5) / (df + 0.5))
            case "robertson":
                return max(0.0, log((n - df + 0.5) / (df + 0.5)))
            case "atire":
                return log(n / df)
            case "bm25l":
                return log((n + 1) / (df + 0.5))
            case "bm25+":
                return log((n + 1) / df)

    @property
    def absent(self) -> float:
        """What a term adds to chunks that lack it, for each unit of its inverse document frequency."""
        match self.variant:
            case "bm25l" if self.delta:
                return (self.k1 + 1) * self.delta / (self.k1 + self.delta)
            case "bm25+":
                return self.delta
        return 0.0

    def above(self, idf: float | Floats, counts: NDArray[np.int64], lengths: Floats) -> Scores:
        """What it adds to chunks that have it, above that, by count and relative length (l)."""
        tf = counts.astype(np.float64)
        match self.variant:
            case "lucene" | "robertson":
                weights = idf * tf / (tf + self.k1 * lengths)
            case "atire" | "bm25+":
                weights = idf * (self.k1 + 1) * tf / (tf + self.k1 * lengths)
            case "bm25l":
                level = tf / lengths + self.delta
                weights = idf * (self.k1 + 1) * level / (self.k1 + level) - idf * self.absent
        return weights.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Weights:
    """What one term adds to the score of each row it is in, above `absent`, what it adds where it is not.

    `rows` are ascending; ``None``: `weights` has one for every row, which for a frequent term is smaller and faster.
    """

    rows: NDArray[np.int64] | NDArray[np.int32] | None
    weights: Scores
    absent: float

    @staticmethod
    def of(rows: NDArray[np.int64] | NDArray[np.int32], weights: Scores, absent: float, *, size: int) -> Weights:
        """The weights of some of `size` rows."""
        if len(rows) * FREQUENT < size:
            return Weights(rows, weights, absent)
        everywhere = np.zeros(size, np.float32)
        everywhere[rows] = weights
        return Weights(None, everywhere, absent)

    def times(self, count: np.float32) -> Scores:
        """`weights`, for a term that a query has `count` times."""
        return self.weights if count == 1 else self.weights * count

    def at(self, rows: Rows) -> Scores:
        """The weights of any rows, 0 where the term is not."""
        if self.rows is None:
            return self.weights[rows]
        places = self.rows.searchsorted(rows)
        here = self.rows.take(places, mode="clip") == rows
        weights: Scores = self.weights.take(places, mode="clip") * here
        return weights

    @property
    def bytes(self) -> int:
        return int(self.weights.nbytes + (0 if self.rows is None else self.rows.nbytes))


def summed(weights: Sequence[tuple[Weights, np.float32]], *, size: int) -> Scores:
    """What terms, each so many times, add to the scores of all of `size` rows; summed in double precision."""
    listed = [(weight.rows, weight.times(count)) for weight, count in weights if weight.rows is not None]
    scores: Floats = np.zeros(size)
    if listed:
        rows, added = zip(*listed, strict=True)
        scores = np.bincount(np.concatenate(rows), np.concatenate(added), minlength=size).astype(np.float64, copy=False)
    for weight, count in weights:
        if weight.rows is None:
            scores += weight.times(count)
    return scores.astype(np.float32)


def summed_at(weights: Sequence[tuple[Weights, np.float32]], rows: Rows) -> Scores:
    """The same of any rows alone, to the last bit."""
    scores = np.zeros(len(rows))
    for weight, count in sorted(weights, key=lambda one: one[0].rows is None):  # the order in which `summed` adds
        scores += weight.at(rows) * count
    return scores.astype(np.float32)


class AllWeights:
    """The weights of every term, worked out together: eight bytes for each row that a term is in.

    Args:
        lengths: (rows,) relative lengths.
        size: live chunks.
    """

    def __init__(self, postings: AllPostings, formula: Formula, lengths: Floats, *, size: int) -> None:
        self._postings = postings
        frequencies = np.diff(postings.starts)
        idf = np.array([formula.idf(df, size) for df in frequencies.tolist()], np.float64)
        self._absent = idf * formula.absent
        self._weights = formula.above(np.repeat(idf, frequencies), postings.counts, lengths[postings.rows])

    def find(self, terms: Sequence[str]) -> dict[str, Weights]:
        """The weights of those of `terms` that occur."""
        numbers = {term: self._postings.terms.get(term) for term in terms}
        return {term: self._of(number) for term, number in numbers.items() if number is not None}

    def _of(self, number: int) -> Weights:
        start, end = self._postings.starts[number : number + 2].tolist()
        return Weights(self._postings.rows[start:end], self._weights[start:end], float(self._absent[number]))


class RecentWeights:
    """Weights of the terms last asked for, up to `KEPT_BYTES`; a term that does not occur is not kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Weights] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, terms: Sequence[str], find: Callable[[Sequence[str]], dict[str, Weights]]) -> dict[str, Weights]:
        """The weights of those of `terms` that occur, in their order; `find` is asked for the ones not kept."""
        with self._lock:
            known = {term: self._kept[term] for term in terms if term in self._kept}
            for term in known:
                self._kept.move_to_end(term)
        missing = [term for term in terms if term not in known]
        if missing:
            known |= self._keep(find(missing))
        return {term: known[term] for term in terms if term in known}

    def _keep(self, found: dict[str, Weights]) -> dict[str, Weights]:
        with self._lock:
            for term, weights in found.items():
                if term not in self._kept:
                    self._kept[term] = weights
                    self._bytes += weights.bytes
            while self._bytes > KEPT_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].bytes
        return found
