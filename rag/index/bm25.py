"""BM25 over the postings, every chunk scored: exact statistics of the whole collection come with each ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Hits, Mask, Rows, Scores
from rag.index.bm25_weights import AllWeights, Floats, Formula, RecentWeights, Variant, Weights, summed, summed_at
from rag.index.postings import Postings
from rag.index.ranking import best, spread, visible
from rag.text.analyze import Analyzer

SCORES_KEPT = 65_536  # chunks up to which a question's scores stay at hand: 256 KB until it is answered
WARMED = 2_000_000  # terms in all chunks up to which `warm_up` reads them: 16 MB at most, a quarter of a second


class Bm25Index:
    """Ranks chunks by their weights of the query's terms (`Formula`), a term as often as the query has it."""

    def __init__(
        self,
        postings: Postings,
        analyzer: Analyzer,
        *,
        variant: Variant = "lucene",
        k1: float = 1.2,
        b: float = 0.75,
        delta: float = 0.5,
    ) -> None:
        self.postings = postings
        self.analyzer = analyzer
        self.formula = Formula(variant, k1, delta)
        self.b = b
        self._recent = RecentWeights()
        self._all_weights: AllWeights | None = None

    def warm_up(self) -> None:
        """Work out the weights of all terms, of an index that is not large."""
        if self._all_weights is None and self.postings.lengths.sum() <= WARMED:
            postings = self.postings.everything()
            self._all_weights = AllWeights(postings, self.formula, self._relative_lengths, size=self._size)

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
        weights = [(weight, np.float32(terms[term])) for term, weight in self._weights(terms).items()]
        scores = summed(weights, size=len(self.postings.live))
        floor = np.float32(sum(weight.absent * count for weight, count in weights) if self.formula.absent else 0.0)
        seen = scores if rows is None else scores[rows]
        mean, deviation = spread(seen)
        top, top_scores = best(seen, self._numbers if rows is None else rows, k=k)
        matching = top_scores > 0
        top, top_scores = top[matching], top_scores[matching]
        at_hand = scores.__getitem__ if len(scores) <= SCORES_KEPT else partial(summed_at, weights)
        score = partial(_score, at_hand, floor, mean)
        return Hits(top, top_scores + floor, mean + float(floor), deviation, len(seen), score)

    def _weights(self, terms: Iterable[str]) -> dict[str, Weights]:
        """The weights of those terms that occur, in a fixed order, so that sums are the same to the last bit."""
        if self._all_weights is not None:
            return self._all_weights.find(sorted(terms))
        return self._recent.get(sorted(terms), self._find)

    def _find(self, terms: Sequence[str]) -> dict[str, Weights]:
        return {term: self._weigh(rows, counts) for term, (rows, counts) in self.postings.find(terms).items()}

    def _weigh(self, rows: Rows, counts: NDArray[np.int64]) -> Weights:
        idf = self.formula.idf(len(rows), self._size)
        weights = self.formula.above(idf, counts, self._relative_lengths[rows])
        return Weights.of(rows, weights, idf * self.formula.absent, size=len(self.postings.live))


def _score(at: Callable[[Rows], Scores], floor: np.float32, mean: float, rows: Rows) -> Scores:
    """The scores of any rows, to the last bit those of the ranking; `mean` for a row of -1."""
    scores = at(rows)
    scores[rows < 0] = mean
    return scores + floor
