"""Sentences as units that a chunker puts together, and what becomes of groups too short or too long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from rag.chunk.atoms import AtomCounter
from rag.chunk.pack import Size, chunk_of, open_packing, spans, without_contained
from rag.text.sentences import sentences
from rag.types import Chunk, Document

Range = tuple[int, int]


class Units:
    """The sentences of a text as code-point ranges, in order; one longer than the size is cut, its parts are units."""

    def __init__(self, counter: AtomCounter, text: str, size: Size) -> None:
        self.text = text
        self.size = size
        self.ranges = fitted(counter, text, sentences(text), size)
        texts = [text[start:end] for start, end in self.ranges]
        sizes = counter.tokenizer.count(texts) if size.unit == "tokens" else [len(one.split()) for one in texts]
        self._sums = np.concatenate([[0], np.cumsum(sizes)])

    def __len__(self) -> int:
        return len(self.ranges)

    def range(self, first: int, last: int) -> Range:
        """Where the units ``[first, last)`` stand in the text, with what is between them."""
        return self.ranges[first][0], self.ranges[last - 1][1]

    def measure(self, first: int, last: int) -> int:
        """How long the units ``[first, last)`` are in the size's own unit; tokens and words are the sums of theirs."""
        if self.size.unit == "characters":
            start, end = self.range(first, last)
            return end - start
        return int(self._sums[last] - self._sums[first])

    def fits(self, first: int, last: int) -> bool:
        most = self.size.most_tokens if self.size.unit == "tokens" else self.size.size
        return self.measure(first, last) <= most


def grouped(units: Units, borders: Sequence[int], strengths: Sequence[float], *, least: int) -> Iterator[Range]:
    """The groups of units between `borders`, after borders beside groups shorter than `least` were given up.

    The weakest border goes first, and none goes where the two groups together are longer than the size: so a short
    group is put to the neighbour it is nearest to, and stays alone only where it fits to neither.

    Args:
        borders: in order, each the unit before which to cut, in 1..len(units) - 1.
        strengths: of each border.
    """
    if len(units) == 0:
        return
    kept = [0, *borders, len(units)]
    for border in sorted(range(len(borders)), key=lambda at: (strengths[at], at)):
        at = bisect_left(kept, borders[border])
        before, after = kept[at - 1], kept[at + 1]
        short = min(units.measure(before, kept[at]), units.measure(kept[at], after)) < least
        if short and units.fits(before, after):
            del kept[at]
    yield from pairwise(kept)


def chunks_of(counter: AtomCounter, document: Document, units: Units, groups: Iterable[Range]) -> list[Chunk]:
    """A chunk of each group of units; one that is too long is cut as `RecursiveChunker` does."""
    ranges = fitted(counter, document.text, [units.range(*group) for group in groups], units.size)
    return [chunk_of(document, start, end) for start, end in without_contained(ranges)]


def fitted(counter: AtomCounter, text: str, ranges: Sequence[Range], size: Size) -> list[Range]:
    """The ranges in order, those longer than the size cut by the rules of `RecursiveChunker`."""
    found: list[Range] = []
    counts = counter.tokenizer.count([text[start:end] for start, end in ranges])
    for (start, end), tokens in zip(ranges, counts, strict=True):
        fits = tokens <= size.most_tokens and _length(text[start:end], tokens, size) <= size.size
        found += [(start, end)] if fits else _cut(counter, text, start, end, size)
    return found


def _length(piece: str, tokens: int, size: Size) -> int:
    if size.unit == "tokens":
        return tokens
    return len(piece) if size.unit == "characters" else len(piece.split())


def _cut(counter: AtomCounter, text: str, start: int, end: int, size: Size) -> list[Range]:
    packing = open_packing(counter, text[start:end], size)
    ranges = packing.pack(0, len(packing.atoms))
    return [(start + first, start + last) for first, last in spans(counter, packing, ranges)]
