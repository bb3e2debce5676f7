"""The words of ranked sentences, and how rare each is among the chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cached_property
from math import log
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Scores
from rag.compress.passages import Sentence
from rag.text.analyze import Analyzer

if TYPE_CHECKING:
    from rag.index.reader import Reader


class Terms:
    """Terms of a question and of the sentences of its ranking, weighed ``ln(1 + (N - df + .5) / (df + .5))``.

    N counts the ranked chunks and df those of them that have the term, in a sentence or in the heading over one. All of
    them are about the question, so what nearly all say tells no two of them apart: on hotpotqa this keeps more of the
    supporting sentences than the frequencies of the whole collection do.
    """

    def __init__(self, question: str, sentences: Sequence[Sentence], analyzer: Analyzer) -> None:
        self.question = Counter(analyzer.terms(question))
        self.sentences = [Counter(analyzer.terms(sentence.text)) for sentence in sentences]
        by_heading = {heading: frozenset(analyzer.terms(heading)) for heading in {each.heading for each in sentences}}
        self.headings: list[Set[str]] = [by_heading[sentence.heading] for sentence in sentences]
        self.chunks = [sentence.chunk for sentence in sentences]

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """The weight of every term of the chunks and of the question."""
        of_chunk: dict[int, set[str]] = {}
        for chunk, terms, heading in zip(self.chunks, self.sentences, self.headings, strict=True):
            of_chunk.setdefault(chunk, set()).update(terms, heading)
        frequency = Counter(term for found in of_chunk.values() for term in found)
        size = len(of_chunk)
        known = dict.fromkeys(self.question, 0) | dict(frequency)
        return {term: log(1 + (size - df + 0.5) / (df + 0.5)) for term, df in known.items()}

    def bm25(self, *, k1: float = 1.5, b: float = 0.75) -> Scores:
        """(n,) BM25 of each sentence, a term as often as the question has it; lengths are in terms."""
        lengths = np.array([terms.total() for terms in self.sentences], np.float64)
        relative = 1 - b + b * lengths / (lengths.mean() or 1.0)
        scores = np.zeros(len(lengths))
        for at, terms in enumerate(self.sentences):
            for term in sorted(self.question.keys() & terms.keys()):
                tf = terms[term]
                scores[at] += self.question[term] * self.weights[term] * tf / (tf + k1 * relative[at])
        return scores

    def weight(self, terms: Iterable[str]) -> float:
        """The sum of the weights of `terms`, in a fixed order, so that it is the same to the last bit."""
        return sum(self.weights[term] for term in sorted(terms))


def analyzer_of(reader: Reader) -> Analyzer:
    """What makes the index's terms; the default one where the index has none."""
    sparse = reader.spec.sparse
    return sparse.analyzer() if sparse is not None else Analyzer()
