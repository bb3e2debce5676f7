"""How much of a question's words a text has, rare words counting more."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rag.text.analyze import Analyzer

if TYPE_CHECKING:
    from rag.index.reader import Reader

UNKNOWN = 0.5
"""What of its weight a term keeps that occurs nowhere and is no name."""

ASKING = frozenset(
    ("i", "me", "my", "mine", "we", "us", "our", "you", "your", "much", "many", "tell", "please", "know")
)
"""English words of asking, not of what is asked about: that a passage lacks them says nothing."""


@runtime_checkable
class TermIndex(Protocol):
    """A sparse index that knows its terms, as BM25 does."""

    analyzer: Analyzer

    def df(self, term: str) -> int:
        """In how many chunks the term occurs."""
        ...


class QuestionTerms:
    """The terms of what a question asks about and their weights: ``ln(1 + (N - df + .5) / (df + .5))``, as in BM25.

    A term that no chunk has weighs most by that if it is written like a name or a number: the collection knows nothing
    of it. Any other weighs half: it may only put in other words what the collection says. Where the index has no term
    statistics all terms weigh the same.
    """

    def __init__(self, question: str, reader: Reader) -> None:
        index = reader.sparse
        names_in_it = _names(question)
        question = " ".join(word for word in question.split() if word.strip("?!.,;:'\"").lower() not in ASKING)
        if isinstance(index, TermIndex):
            self.analyzer: Analyzer = index.analyzer
            terms = dict.fromkeys(self.analyzer.terms(question))
            names = {term for name in names_in_it for term in self.analyzer.terms(name)}
            frequencies = {term: index.df(term) for term in terms}
            self.weights: Mapping[str, float] = {
                term: log(1 + (reader.size - df + 0.5) / (df + 0.5)) * (1 if df or term in names else UNKNOWN)
                for term, df in frequencies.items()
            }
        else:
            self.analyzer = Analyzer()
            self.weights = dict.fromkeys(self.analyzer.terms(question), 1.0)
        self.total = sum(self.weights.values())

    def found_in(self, text: str) -> frozenset[str]:
        """The question's terms that `text` has."""
        return frozenset(term for term in self.analyzer.terms(text) if term in self.weights)

    def share(self, found: frozenset[str]) -> float:
        """The weighted share of the question's terms that were found, 0 to 1; 0 for a question without terms."""
        return sum(self.weights[term] for term in sorted(found)) / self.total if self.total else 0.0

    def coverage(self, text: str) -> float:
        """The weighted share of the question's terms that `text` has."""
        return self.share(self.found_in(text))


def _names(question: str) -> list[str]:
    """The words that begin with a capital or a digit; the first word of a question begins with one anyway."""
    return [word for word in question.split()[1:] if word[0].isupper() or word[0].isdigit()]
