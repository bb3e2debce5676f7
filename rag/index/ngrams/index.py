"""Counts of phrases in the documents of one generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from rag.index.counts import Count
from rag.index.ngrams.cooccurrence import documents_with_both, pairs_within
from rag.index.ngrams.segment import LiveSegment
from rag.text.words import words

Pairs: TypeAlias = Callable[[LiveSegment, Sequence[bytes], Sequence[bytes]], tuple[int, bool]]


class NgramIndex:
    """Exact counts of words and phrases of any length; of pairs, exact unless a phrase is very frequent.

    Counts are over every document of the index, whoever asks: they are numbers, but numbers of all texts.

    Args:
        most: occurrences of each phrase in each segment looked at for a pair; with more the count is a lower bound
            (Infini-gram's clause frequency, arXiv 2401.17377).
    """

    def __init__(self, segments: Sequence[LiveSegment], *, lowercase: bool, most: int) -> None:
        self.segments = segments
        self.lowercase = lowercase
        self.most = most

    @property
    def size(self) -> int:
        """Words in the live documents."""
        return sum(segment.live_size - int(segment.live.sum()) for segment in self.segments)

    def count(self, phrase: str) -> Count:
        """How often the phrase occurs. A phrase never goes over the end of a document.

        Raises:
            ValueError: there is no word in it.
        """
        wanted = self._words(phrase)
        return Count(sum(segment.count(wanted) for segment in self.segments))

    def cooccur(self, first: str, second: str, *, window: int) -> Count:
        """Pairs of occurrences in one document whose first words are at most `window` words apart.

        Raises:
            ValueError: there is no word in a phrase.
        """
        return self._sum(first, second, partial(pairs_within, window=window, most=self.most))

    def documents_with(self, first: str, second: str) -> Count:
        """Documents in which both phrases occur, however far apart.

        Raises:
            ValueError: there is no word in a phrase.
        """
        return self._sum(first, second, partial(documents_with_both, most=self.most))

    def _sum(self, first: str, second: str, count: Pairs) -> Count:
        wanted = self._words(first), self._words(second)
        found = [count(segment, *wanted) for segment in self.segments]
        return Count(sum(value for value, _ in found), exact=all(exact for _, exact in found))

    def _words(self, phrase: str) -> list[bytes]:
        found = words(phrase, lowercase=self.lowercase)
        if not found:
            raise ValueError(f"there is no word in {phrase!r}")
        return [word.encode() for word in found]
