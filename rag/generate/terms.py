"""How much of a question's words a text has, rare words counting more."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rag.text.analyze import Analyzer

if TYPE_CHECKING:
    from rag.index.reader import Reader


@runtime_checkable
class TermIndex(Protocol):
    """A sparse index that knows its terms, as BM25 does."""

    analyzer: Analyzer

    def df(self, term: str) -> int:
        """In how many chunks the term occurs."""
        ...


class QuestionTerms:
    """The terms of one question and their weights: ``ln(1 + (N - df + .5) / (df + .5))``, as in BM25.

    A term that no chunk has weighs most: a question about something the collection never names is not covered by what
    else it shares with it. Where the index has no term statistics all terms weigh the same.
    """

    def __init__(self, question: str, reader: Reader) -> None:
        index = reader.sparse
        if isinstance(index, TermIndex):
            self.analyzer: Analyzer = index.analyzer
            terms = dict.fromkeys(self.analyzer.terms(question))
            frequencies = {term: index.df(term) for term in terms}
            self.weights: Mapping[str, float] = {
                term: log(1 + (reader.size - df + 0.5) / (df + 0.5)) for term, df in frequencies.items()
            }
        else:
            self.analyzer = Analyzer()
            self.weights = dict.fromkeys(self.analyzer.terms(question), 1.0)
        self.total = sum(self.weights.values())

    def coverage(self, text: str) -> float:
        """The weighted share of the question's terms that `text` has, 0 to 1; 0 for a question without terms."""
        if not self.total:
            return 0.0
        return sum(self.weights.get(term, 0.0) for term in set(self.analyzer.terms(text))) / self.total
