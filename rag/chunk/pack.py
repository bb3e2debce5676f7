"""Puts atoms together to chunks: as much as fits, cut at the strongest borders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rag.chunk.atoms import GLUED, INSIDE, LINE, PARAGRAPH, SENTENCE, WORD, WRAP, AtomCounter, Atoms, Ints
from rag.chunk.specs import Unit
from rag.embed.base import Tokenizer
from rag.text.sentences import sentences
from rag.types import Chunk, Document, Span

ALL_LEVELS = (PARAGRAPH, LINE, SENTENCE, WRAP, WORD, INSIDE, GLUED)
WORD_LEVELS = (WORD, INSIDE)


@dataclass(frozen=True, slots=True)
class Size:
    """The largest chunk: `size` in `unit`, and in any case `most_tokens`. `overlap` is in `unit`."""

    unit: Unit
    size: int
    most_tokens: int
    overlap: int = 0

    @staticmethod
    def of(tokenizer: Tokenizer, *, unit: Unit, size: int, overlap: int = 0) -> Size:
        """What was asked for, within the encoder's window."""
        window = tokenizer.max_tokens
        return Size(unit, size, min(size, window) if unit == "tokens" else window, min(overlap, window - 1))

    @property
    def longest(self) -> int:
        """Code points that one atom may have."""
        return self.size if self.unit == "characters" else 1 << 62


class Packing:
    """One text being packed. Chunks are half-open ranges of its atoms."""

    def __init__(self, text: str, atoms: Atoms, size: Size) -> None:
        self.text = text
        self.atoms = atoms
        self.size = size
        self.levels = atoms.levels.copy()  # sentence borders are found only where they are needed

    def pack(self, first: int, last: int, *, levels: Sequence[int] = ALL_LEVELS) -> list[tuple[int, int]]:
        """Chunks of the atoms ``[first, last)``.

        Pieces that do not fit are cut at the next weaker of `levels`, then neighbours are put together while they fit.
        A chunk repeats the end of the one before from the earliest border within the overlap.
        """
        pieces = self._pieces(first, last, levels)
        borders = np.append(pieces, last)
        # The piece before which a chunk that begins with each piece ends; one piece at least.
        reached = np.searchsorted(borders, self._reaches(pieces), "right") - 1
        ends = np.maximum(reached, np.arange(1, len(borders))).tolist()
        chunks: list[tuple[int, int]] = []
        at = 0
        while at < len(pieces):
            end = ends[at]
            chunks.append((at, end))
            at = self._next(borders, ends, at, end) if end < len(pieces) else end
        places = borders.tolist()
        return [(places[start], places[end]) for start, end in chunks]

    def reach(self, first: int) -> int:
        """The end of the longest run of atoms from `first` that fits; one atom at least."""
        return int(self._reaches(np.array([first]))[0])

    def fits(self, first: int, last: int) -> bool:
        return self.reach(first) >= last

    def glue(self, first: int, last: int) -> None:
        """Put off cutting before any of the atoms ``[first, last)`` until nothing else is left."""
        self.levels[first:last] = GLUED

    def span(self, first: int, last: int) -> tuple[int, int]:
        return int(self.atoms.starts[first]), int(self.atoms.ends[last - 1])

    def _pieces(self, first: int, last: int, levels: Sequence[int]) -> Ints:
        """Where pieces begin that fit, cut no finer than needed."""
        pieces = np.array([first])
        for level in levels:
            ends = np.append(pieces[1:], last)
            too_long = self._reaches(pieces) < ends
            if not too_long.any():
                break
            if level == LINE:
                self._find_sentences(pieces[too_long], ends[too_long])
            inside = np.flatnonzero(self.levels[first:last] <= level) + first
            owner = np.searchsorted(pieces, inside, "right") - 1
            pieces = np.union1d(pieces, inside[too_long[owner]])
        return pieces

    def _find_sentences(self, firsts: Ints, lasts: Ints) -> None:
        found: list[int] = []
        starts, ends = self.atoms.starts[firsts].tolist(), self.atoms.ends[lasts - 1].tolist()
        for start, end in zip(starts, ends, strict=True):
            found += [start + at for at, _ in sentences(self.text[start:end])]
        part = slice(int(firsts[0]), int(lasts[-1]))
        atoms, levels = self.atoms.starts[part], self.levels[part]
        places = np.minimum(np.searchsorted(atoms, found), len(atoms) - 1)
        begins = np.zeros(len(atoms), np.bool_)
        begins[places[atoms[places] == found]] = True
        searched = np.zeros(len(atoms) + 1, np.int64)
        searched[firsts - part.start] += 1
        searched[lasts - part.start] -= 1
        levels[~begins & (levels == LINE) & (searched[:-1].cumsum() > 0)] = WRAP
        levels[begins & (levels > SENTENCE) & (levels < GLUED)] = SENTENCE

    def _next(self, borders: Ints, ends: Sequence[int], at: int, end: int) -> int:
        """The piece to go on with behind the chunk of pieces ``[at, end)``."""
        if self.size.overlap == 0:
            return end
        earliest = self._back(int(borders[end]))
        start = max(int(np.searchsorted(borders, earliest)), at + 1)
        while start < end and ends[start] <= end:
            start += 1  # what is repeated must leave room for something new
        return start

    def _reaches(self, firsts: Ints) -> Ints:
        last = np.searchsorted(self._tokens, self._tokens[firsts] + self.size.most_tokens, "right") - 1
        if self.size.unit == "characters":
            by_characters = np.searchsorted(self.atoms.ends, self.atoms.starts[firsts] + self.size.size, "right")
            last = np.minimum(last, by_characters)
        elif self.size.unit == "words":
            broken = self.atoms.levels[firsts] == INSIDE  # the rest of a word counts as one
            by_words = np.searchsorted(self._words, self._words[firsts] + self.size.size - broken, "right") - 1
            last = np.minimum(last, by_words)
        return np.maximum(last, firsts + 1)

    def _back(self, last: int) -> int:
        """The first atom of the longest run that ends at `last` and is within the overlap."""
        overlap = self.size.overlap
        if self.size.unit == "characters":
            return int(np.searchsorted(self.atoms.starts, self.atoms.ends[last - 1] - overlap))
        sums = self._tokens if self.size.unit == "tokens" else self._words
        return int(np.searchsorted(sums, sums[last] - overlap))

    @cached_property
    def _tokens(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.atoms.tokens)])

    @cached_property
    def _words(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.atoms.levels != INSIDE)])


def open_packing(counter: AtomCounter, text: str, size: Size) -> Packing:
    return Packing(text, counter.atoms(text, longest=size.longest, most_tokens=size.most_tokens), size)


def spans(counter: AtomCounter, packing: Packing, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The code-point spans of ranges of atoms; what is too long, counted as a whole, is packed again with less.

    That happens where a chunk begins or ends inside a word, for the parts of a word may have more tokens than the word,
    and anywhere if the tokenizer's counts are not additive.
    """
    checked = without_contained(_checked(counter, packing, list(ranges)))
    if not checked:
        return []
    firsts, lasts = np.array(checked).T
    starts, ends = packing.atoms.starts[firsts], packing.atoms.ends[lasts - 1]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def without_contained(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges in order, without those inside a neighbour: a chunk cut again may lie in what the next one repeats."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if kept and kept[-1][0] == start:
            kept[-1] = (start, end)
        elif not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def chunk_of(document: Document, start: int, end: int) -> Chunk:
    return Chunk(span=Span(document.id, start, end), text=document.text[start:end])


def _checked(counter: AtomCounter, packing: Packing, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    firsts, lasts = np.array(ranges).reshape(-1, 2).T
    levels = packing.atoms.levels
    broken = (levels[firsts] == INSIDE) | (levels[np.minimum(lasts, len(levels) - 1)] == INSIDE) & (lasts < len(levels))
    unsure = np.flatnonzero((lasts - firsts > 1) & (broken | (not counter.additive))).tolist()
    texts = [packing.text[slice(*packing.span(*ranges[at]))] for at in unsure]
    counts = dict(zip(unsure, counter.tokenizer.count(texts), strict=True))
    checked: list[tuple[int, int]] = []
    for at, (first, last) in enumerate(ranges):
        found = counts.get(at, 0)
        if found <= packing.size.most_tokens:
            checked.append((first, last))
            continue
        estimated = int(packing.atoms.tokens[first:last].sum())
        less = max(1, min(estimated - 1, packing.size.most_tokens * estimated // found))
        # With the atom after it, which says whether the last part ends inside a word.
        atoms = packing.atoms.part(first, last + 1)
        smaller = Packing(packing.text, atoms, replace(packing.size, most_tokens=less, overlap=0))
        parts = smaller.pack(0, last - first)
        if len(parts) > 1:
            parts = _checked(counter, Packing(packing.text, atoms, packing.size), parts)
        checked += [(first + start, first + end) for start, end in parts]
    return checked
