"""One segment of the n-gram index: some documents' words, and where each of their suffixes stands in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask
from rag.index.ngrams.suffixes import END, suffix_array
from rag.index.tensors import Tensor

BLOCK = 1024  # suffixes whose dead ones are counted together


class NgramSegment:
    """Counts phrases in its documents. Immutable; its arrays may be mapped from a file.

    Attributes:
        documents: (d,) numbers of the documents; each number stands for one version of one text, for ever.
        starts: (d + 1,) where each document's words start in `tokens`.
        tokens: (n,) the words' numbers, `END` after each document.
        suffixes: (n,) the suffix array of `tokens`, in the order of the first `depth` words.
        firsts: (words + 2,) where the suffixes that begin with each word start in `suffixes`, and where they end.
        letters: the words one after the other, UTF-8, sorted; a word's number is its place there, from 1.
        ends: (words + 1,) where each word ends in `letters`, a zero before them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.documents: NDArray[np.int64] = np.asarray(tensors["documents"], np.int64)
        self.starts: NDArray[np.int32] = np.asarray(tensors["starts"], np.int32)
        self.tokens: NDArray[np.int32] = np.asarray(tensors["tokens"], np.int32)
        self.suffixes: NDArray[np.int32] = np.asarray(tensors["suffixes"], np.int32)
        self.firsts: NDArray[np.int32] = np.asarray(tensors["firsts"], np.int32)
        self.letters: NDArray[np.int8] = np.asarray(tensors["letters"], np.int8)
        self.ends: NDArray[np.int32] = np.asarray(tensors["ends"], np.int32)
        self.depth = int(tensors["depth"][0])
        # Python reads single values from these three times as fast as from arrays.
        self._tokens, self._suffixes = self.tokens.data, self.suffixes.data
        self._letters, self._ends = self.letters.data.cast("B"), self.ends.data

    @staticmethod
    def of(
        documents: NDArray[np.int64], lengths: NDArray[np.int64], words: NDArray[np.int32], numbers: Mapping[str, int]
    ) -> NgramSegment:
        """Sort the words of documents into a segment.

        Args:
            lengths: (d,) words of each document.
            words: (sum of lengths,) the documents' words, by `numbers`.
            numbers: a number from 0 for each distinct word.
        """
        ordered = sorted(numbers)
        number = np.empty(len(ordered), np.int32)
        number[np.fromiter(map(numbers.__getitem__, ordered), np.int64, len(ordered))] = np.arange(1, len(ordered) + 1)
        starts = np.concatenate([[0], np.cumsum(lengths + 1)])
        tokens = np.insert(number[words], np.cumsum(lengths), END)
        suffixes, depth = suffix_array(tokens, highest=len(ordered))
        counts = np.bincount(tokens, minlength=len(ordered) + 1)
        letters, ends = _joined(ordered)
        return NgramSegment(
            {
                "documents": documents,
                "starts": starts.astype(np.int32),
                "tokens": tokens,
                "suffixes": suffixes,
                "depth": np.array([depth], np.int32),
                "firsts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
                "letters": letters,
                "ends": ends,
            }
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(d,) words of each document."""
        return np.diff(self.starts).astype(np.int64) - 1

    @property
    def size(self) -> int:
        """Words, and an end for each document."""
        return len(self.tokens)

    def vocabulary(self) -> list[str]:
        """The words by their numbers, less one."""
        letters, ends = self.letters.tobytes(), self.ends.tolist()
        return [letters[start:end].decode() for start, end in pairwise(ends)]

    def find(self, phrase: Sequence[bytes]) -> tuple[int, int]:
        """The range of `suffixes` that begin with a phrase of one word or more, in UTF-8; an empty one if none does.

        Of a longer phrase than `depth`, the range is of its first `depth` words, and `starting` picks from it.
        """
        numbers = [self._number(word) for word in phrase]
        if END in numbers:
            return 0, 0
        low, high = int(self.firsts[numbers[0]]), int(self.firsts[numbers[0] + 1])
        for offset, number in enumerate(numbers[1 : self.depth], 1):
            if low == high:
                break

            def word_at(start: int, offset: int = offset) -> int:
                return self._tokens[start + offset]

            low = bisect_left(self._suffixes, number, low, high, key=word_at)
            high = bisect_right(self._suffixes, number, low, high, key=word_at)
        return low, high

    def starting(self, positions: NDArray[np.int32], phrase: Sequence[bytes]) -> NDArray[np.int32]:
        """Those of some positions of a range of `find` at which the whole phrase stands."""
        for offset in range(self.depth, len(phrase)):
            if not len(positions):
                break
            # So many words are there: a document's end, which is no word, would have ended the match before.
            positions = positions[self.tokens[positions + offset] == self._number(phrase[offset])]
        return positions

    def _number(self, word: bytes) -> int:
        """A word's number, `END` for one that no document has."""
        words = range(1, len(self._ends))
        at = bisect_left(words, word, key=self._word)
        return words[at] if at < len(words) and self._word(words[at]) == word else END

    def _word(self, number: int) -> bytes:
        return self._letters[self._ends[number - 1] : self._ends[number]].tobytes()


class LiveSegment:
    """A segment as one generation sees it: without the documents that were deleted or stand elsewhere too."""

    def __init__(self, segment: NgramSegment, live: Mask) -> None:
        self.segment = segment
        self.live = live
        self._whole = bool(live.all())

    @property
    def live_size(self) -> int:
        """Words of live documents, and their ends."""
        return int(np.diff(self.segment.starts)[self.live].sum())

    def waste(self, highest: int) -> int:
        """The same of documents that are not live and have at most the number `highest`."""
        return int(np.diff(self.segment.starts)[~self.live & (self.segment.documents <= highest)].sum())

    def count(self, phrase: Sequence[bytes]) -> int:
        """How often the phrase occurs in live documents."""
        low, high = self.segment.find(phrase)
        if len(phrase) > self.segment.depth:
            return len(self._live(self.segment.starting(self.segment.suffixes[low:high], phrase)))
        return (
            high - low
            if self._whole or low == high
            else high - low - (self._dead_before(high) - self._dead_before(low))
        )

    def positions(self, phrase: Sequence[bytes], *, most: int) -> tuple[NDArray[np.int32], bool]:
        """Where the phrase starts in live documents, ascending, and whether these are all of them.

        Args:
            most: occurrences looked at.
        """
        low, high = self.segment.find(phrase)
        positions = self.segment.starting(self.segment.suffixes[low : min(high, low + most)], phrase)
        return np.sort(self._live(positions)), high - low <= most

    def _live(self, positions: NDArray[np.int32]) -> NDArray[np.int32]:
        return positions if self._whole else positions[~self._dead[positions]]

    def documents_at(self, positions: NDArray[np.int32]) -> NDArray[np.int64]:
        """The place in the segment of the document that each position is in."""
        return np.searchsorted(self.segment.starts, positions, side="right") - 1

    @cached_property
    def _dead(self) -> Mask:
        """(n,) by position."""
        return np.repeat(~self.live, np.diff(self.segment.starts))

    @cached_property
    def _dead_by_block(self) -> NDArray[np.int64]:
        """How many of the suffixes before each block are dead: with the rest of one block, any range is counted."""
        dead = self._dead[self.segment.suffixes]
        return np.concatenate([[0], np.cumsum(np.add.reduceat(dead, np.arange(0, len(dead), BLOCK), dtype=np.int64))])

    def _dead_before(self, slot: int) -> int:
        block = slot // BLOCK
        rest = self.segment.suffixes[block * BLOCK : slot]
        return int(self._dead_by_block[block]) + int(np.count_nonzero(self._dead[rest]))


def _joined(words: Sequence[str]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """The words one after the other, UTF-8, and where each ends, a zero before them."""
    data = np.frombuffer("".join(f"{word}\n" for word in words).encode(), np.int8)
    ends = np.flatnonzero(data == ord("\n")) - np.arange(len(words))
    return data[data != ord("\n")], np.concatenate([[0], ends]).astype(np.int32)
