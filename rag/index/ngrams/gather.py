"""Gathers the words of documents until there are enough of them for a segment."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask
from rag.index.ngrams.segment import NgramSegment
from rag.text.words import words


class Gatherer:
    """Documents that will be one segment, from texts and from older segments."""

    def __init__(self, *, lowercase: bool) -> None:
        self.lowercase = lowercase
        self.size = 0
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__  # a new word's number: how many there were
        self._documents: list[NDArray[np.int64]] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._words: list[NDArray[np.int32]] = []

    def add(self, document: int, text: str) -> None:
        """Take in the words of one text."""
        found = words(text, lowercase=self.lowercase)
        self._take(
            np.array([document], np.int64),
            np.array([len(found)], np.int64),
            np.fromiter(map(self._numbers.__getitem__, found), np.int32, len(found)),
        )

    def absorb(self, segment: NgramSegment, live: Mask) -> None:
        """Take in what an older segment holds of the documents in `live`; words that only others had are forgotten."""
        ends = segment.starts[1:] - 1
        kept = np.repeat(live, np.diff(segment.starts))
        kept[ends] = False
        numbers, at = np.unique(segment.tokens[kept], return_inverse=True)
        vocabulary = segment.vocabulary()
        mine = np.fromiter(
            (self._numbers[vocabulary[number - 1]] for number in numbers.tolist()), np.int32, len(numbers)
        )
        self._take(segment.documents[live], segment.lengths[live], mine[at])

    def segment(self) -> NgramSegment:
        """All of it, sorted."""
        return NgramSegment.of(
            np.concatenate(self._documents),
            np.concatenate(self._lengths),
            np.concatenate(self._words),
            self._numbers,
        )

    def _take(self, documents: NDArray[np.int64], lengths: NDArray[np.int64], numbers: NDArray[np.int32]) -> None:
        self._documents.append(documents)
        self._lengths.append(lengths)
        self._words.append(numbers)
        self.size += len(numbers) + len(documents)
