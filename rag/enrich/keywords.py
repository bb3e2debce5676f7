"""Keywords of a text by TF-IDF over the texts counted so far."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log

from rag.text.analyze import Analyzer

_WORD = re.compile(r"[^\W_][\w'’-]*")


class TermStatistics:
    """In how many texts each term occurs. Terms are those of sparse retrieval, so that inflected forms count as one.

    A term weighs ``tf * (ln((1 + N) / (1 + df)) + 1)``: its count in the text, the number of texts, and how many of
    them have it. Salton and Buckley, 1988, smoothed so that a single text has keywords too.
    """

    def __init__(self, analyzer: Analyzer | None = None) -> None:
        self.analyzer = analyzer or Analyzer()
        self.size = 0
        self.frequencies: Counter[str] = Counter()

    def add(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.size += 1
            self.frequencies.update(set(self.analyzer.terms(text)))

    def weight(self, term: str, count: int) -> float:
        return count * (log((1 + self.size) / (1 + self.frequencies[term])) + 1)

    def keywords(self, text: str, *, most: int) -> list[str]:
        """The words of `weighted`."""
        return [word for word, _ in self.weighted(text, most=most)]

    def weighted(self, text: str, *, most: int) -> list[tuple[str, float]]:
        """The heaviest terms and their weights, heaviest first, ties by term.

        Each is given as the text most often writes it, in lower case. Numbers and single letters are none.
        """
        counts = Counter(self.analyzer.terms(text))
        named = [term for term in counts if len(term) > 1 and any(map(str.isalpha, term))]
        ordered = sorted(named, key=lambda term: (-self.weight(term, counts[term]), term))[:most]
        written = self._written(text, set(ordered))
        return [(written.get(term, term), self.weight(term, counts[term])) for term in ordered]

    def _written(self, text: str, wanted: set[str]) -> dict[str, str]:
        """For each term the word that most often stands for it alone; ties by spelling."""
        forms: dict[str, Counter[str]] = {}
        for word in _WORD.findall(text):
            terms = self.analyzer.terms(word)
            if len(terms) == 1 and terms[0] in wanted:
                forms.setdefault(terms[0], Counter())[word.casefold().removesuffix("'s").removesuffix("’s")] += 1
        return {term: min(words, key=lambda word: (-words[word], word)) for term, words in forms.items()}
