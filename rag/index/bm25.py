"""BM25 over the postings, every chunk scored: exact statistics of the whole collection come with each ranking.

Formulas as compared by Kamphuis, de Vries, Boytsov and Lin, ECIR 2020; defaults of Robertson and Zaragoza, 2009.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import log
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Hits, Mask, Rows, Scores
from rag.index.postings import Postings
from rag.index.ranking import best, spread, visible
from rag.text.analyze import Analyzer

Variant = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
Floats = NDArray[np.float64]

FREQUENT = 3  # a term in more than one of so many rows takes fewer bytes with a weight for every row
KEPT_BYTES = 64 << 20  # weights of recent query terms, so that a warm query only adds


@dataclass(frozen=True, slots=True)
class Weights:
    """What one term adds to the score of each row it is in, above `absent`, what it adds where it is not.

    `rows` are ascending; ``None``: `weights` has one for every row, which for a frequent term is smaller and faster.
    """

    rows: Rows | None
    weights: Scores
    absent: float

    def add_to(self, scores: Scores, count: float) -> None:
        """Add the term, `count` times, to the scores of all rows."""
        weights = self.weights if count == 1 else self.weights * np.float32(count)
        if self.rows is None:
            scores += weights
        else:
            scores[self.rows] += weights

    def at(self, rows: Rows) -> Scores:
        """The weights of any rows, 0 where the term is not."""
        if self.rows is None:
            return self.weights[rows]
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, self.weights[places], np.float32(0))

    @property
    def bytes(self) -> int:
        return int(self.weights.nbytes + (0 if self.rows is None else self.rows.nbytes))


class Bm25Index:
    """Ranks chunks by the sum of their weights of the query's terms, a term as often as the query has it.

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

    def __init__(
        self,
        postings: Postings,
        analyzer: Analyzer,
        *,
        variant: Variant = "lucene",
        k1: float = 1.5,
        b: float = 0.75,
        delta: float = 0.5,
    ) -> None:
        self.postings = postings
        self.analyzer = analyzer
        self.variant: Variant = variant
        self.k1 = k1
        self.b = b
        self.delta = delta
        self._recent = RecentWeights()

    def search(self, queries: Sequence[str], *, k: int, allowed: Mask | None) -> list[Hits]:
        return self.search_terms([Counter(self.analyzer.terms(query)) for query in queries], k=k, allowed=allowed)

    def search_terms(self, queries: Sequence[Mapping[str, float]], *, k: int, allowed: Mask | None) -> list[Hits]:
        """The same for queries of index terms (as `analyzer` makes them), each as often, or as much, as it counts."""
        rows = self._all if allowed is None else visible(self.postings.live, allowed)
        return [self._hits(terms, rows, k) for terms in queries]

    def df(self, term: str) -> int:
        """In how many chunks an index term (as `analyzer` makes them) occurs."""
        return self.postings.frequency(term)

    def phrase_count(self, terms: Sequence[str]) -> int:
        """How often index terms follow each other directly, over all chunks."""
        return self.postings.phrase_count(terms)

    @cached_property
    def _all(self) -> Rows | None:
        return visible(self.postings.live, None)

    @cached_property
    def _numbers(self) -> Rows:
        return np.arange(len(self.postings.live))

    @cached_property
    def _relative_lengths(self) -> Floats:
        average = self.postings.average_length or 1.0
        relative: Floats = self.postings.lengths.astype(np.float64) / average
        return 1 - self.b + self.b * relative

    @cached_property
    def _size(self) -> int:
        return self.postings.size

    def _hits(self, terms: Mapping[str, float], rows: Rows | None, k: int) -> Hits:
        weights = self._weights(terms)
        scores = np.zeros(len(self.postings.live), np.float32)
        for term, weight in weights.items():
            weight.add_to(scores, terms[term])
        floor = np.float32(sum(weight.absent * terms[term] for term, weight in weights.items()))
        seen = scores if rows is None else scores[rows]
        mean, deviation = spread(seen)
        top, top_scores = best(seen, self._numbers if rows is None else rows, k=k)
        matching = top_scores > 0
        top, top_scores = top[matching], top_scores[matching]
        score = partial(_score, [(weight, terms[term]) for term, weight in weights.items()], floor, mean)
        return Hits(top, top_scores + floor, mean + float(floor), deviation, len(seen), score)

    def _weights(self, terms: Iterable[str]) -> dict[str, Weights]:
        """The weights of those terms that occur, in a fixed order, so that sums are the same to the last bit."""
        return self._recent.get(sorted(terms), self._find)

    def _find(self, terms: Sequence[str]) -> dict[str, Weights]:
        return {term: self._weigh(rows, counts) for term, (rows, counts) in self.postings.find(terms).items()}

    def _weigh(self, rows: Rows, counts: NDArray[np.int64]) -> Weights:
        n, df = self._size, len(rows)
        tf, lengths = counts.astype(np.float64), self._relative_lengths[rows]
        absent = 0.0
        match self.variant:
            case "lucene":
                weights = log(1 + (n - df + 0.5) / (df + 0.5)) * tf / (tf + self.k1 * lengths)
            case "robertson":
                weights = max(0.0, log((n - df + 0.5) / (df + 0.5))) * tf / (tf + self.k1 * lengths)
            case "atire":
                weights = log(n / df) * (self.k1 + 1) * tf / (tf + self.k1 * lengths)
            case "bm25l":
                idf, level = log((n + 1) / (df + 0.5)), tf / lengths + self.delta
                absent = idf * (self.k1 + 1) * self.delta / (self.k1 + self.delta) if self.delta else 0.0
                weights = idf * (self.k1 + 1) * level / (self.k1 + level) - absent
            case "bm25+":
                idf = log((n + 1) / df)
                absent = idf * self.delta
                weights = idf * (self.k1 + 1) * tf / (tf + self.k1 * lengths)
        if df * FREQUENT < len(self.postings.live):
            return Weights(rows, weights.astype(np.float32), absent)
        everywhere = np.zeros(len(self.postings.live), np.float32)
        everywhere[rows] = weights
        return Weights(None, everywhere, absent)


def _score(weights: Sequence[tuple[Weights, float]], floor: np.float32, mean: float, rows: Rows) -> Scores:
    """The scores of any rows, to the last bit those of the ranking."""
    scores = np.zeros(len(rows), np.float32)
    for weight, count in weights:
        scores += weight.at(rows) * np.float32(count)
    scores[rows < 0] = mean
    return scores + floor


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
