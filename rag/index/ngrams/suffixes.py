"""A suffix array over word numbers, by prefix doubling in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

END = 0
"""Stands after the last word of every document; no phrase holds it."""
LONGEST = 1 << 31  # tokens: positions are int32
DEPTH = 8
"""Words that suffixes are sorted by, or up to twice as many. What is alike beyond that is told apart when it is asked
for: to sort it too would take most of the time where whole passages stand in a corpus several times."""
STRETCH = 1 << 16  # ties sorted at a time: 64 bits hold a group, a rank and a place, and the cache holds the keys


class Ties(NamedTuple):
    """What is not in order yet: places in the suffix array, in groups that are alike so far.

    `slots` are the places, ascending; `heads` is where in `slots` each group begins.
    """

    slots: NDArray[np.int32]
    heads: NDArray[np.int64]


def suffix_array(tokens: NDArray[np.int32], *, highest: int, least: int = DEPTH) -> tuple[NDArray[np.int32], int]:
    """Where the suffixes of `tokens` start, in the order of their first `depth` words, and that depth.

    Prefix doubling (Manber and Myers, SODA 1990; groups refined in place as by Larsson and Sadakane, 1999): suffixes
    sorted by their first h words are sorted by 2h by comparing ranks, and only those that are still tied are looked at
    again. All sorting is of 64-bit integers that hold what is compared and where it was, which NumPy vectorises; the
    first sort is by as many words as fit. Two or three rounds for a depth of 8; some 40 bytes a token.

    Args:
        tokens: (n,) numbers of words, from 1, with `END` after each document, the last one too.
        highest: the greatest of them.
        least: the least depth to sort to; it is reached by doubling.

    Returns:
        (n,) positions; suffixes that are equal up to the depth, or up to their document's end before, in any order.
        The depth is at least `least`.

    Raises:
        ValueError: more than 2**31 tokens, or no end.

    >>> suffixes, depth = suffix_array(np.array([2, 1, 2, 1, 0], np.int32), highest=2)
    >>> suffixes.tolist(), depth >= 8
    ([4, 3, 1, 2, 0], True)
    """
    n = len(tokens)
    if n == 0:
        return np.empty(0, np.int32), least
    if n > LONGEST or tokens[-1] != END:
        raise ValueError(f"expected at most {LONGEST} tokens and a document's end last, got {n} and {tokens[-1]}")
    length = _words_before_the_end(tokens)
    place_bits, word_bits = max(1, (n - 1).bit_length()), max(1, highest.bit_length())
    depth = (64 - place_bits) // word_bits  # words that all suffixes are sorted by so far
    keys = _packed(tokens, depth, word_bits) << np.uint64(place_bits)
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()
    suffixes = _low(keys, place_bits).astype(np.int32)
    rank = np.empty(n, np.int32)  # of the suffix at each position: the first slot of its group
    ties = _regroup(keys >> np.uint64(place_bits), np.arange(n, dtype=np.int32), suffixes, rank, length >= depth)
    del keys  # 8 bytes a token
    while depth < least:
        if len(ties.slots):
            ties = _refined(ties, suffixes, rank, length, depth)
        depth *= 2
    return suffixes, depth


def _refined(
    ties: Ties, suffixes: NDArray[np.int32], rank: NDArray[np.int32], length: NDArray[np.int32], depth: int
) -> Ties:
    """Sort what is tied after `depth` words by twice as many; what is tied then.

    `suffixes` and `rank` are brought up to date stretch by stretch: a finer rank sorts as the coarser one does.
    """
    long_enough = length >= 2 * depth
    rank_bits = np.uint64(max(1, (len(rank) - 1).bit_length()))
    found: list[Ties] = []
    kept = 0
    for low, high, heads in _stretches(ties):
        slots = ties.slots[low:high]
        tied = suffixes[slots]
        place_bits = max(1, (high - low - 1).bit_length())
        groups = np.arange(len(heads), dtype=np.uint64) << rank_bits
        keys = np.repeat(groups, np.diff(heads, append=high))
        keys |= rank[tied + depth].astype(np.uint64)  # within the document or at its end: so many words are there
        keys <<= np.uint64(place_bits)
        keys |= np.arange(high - low, dtype=np.uint64)
        keys.sort()
        tied = tied[_low(keys, place_bits).astype(np.int64)]
        suffixes[slots] = tied
        left = _regroup(keys >> np.uint64(place_bits), slots, tied, rank, long_enough)
        found.append(Ties(left.slots, left.heads + kept))
        kept += len(left.slots)
    return Ties(np.concatenate([one.slots for one in found]), np.concatenate([one.heads for one in found]))


def _regroup(
    keys: NDArray[np.uint64],
    slots: NDArray[np.int32],
    positions: NDArray[np.int32],
    rank: NDArray[np.int32],
    long_enough: NDArray[np.bool_],
) -> Ties:
    """Rank the suffixes of some slots, sorted by `keys`; the groups of more than one that are not at their end."""
    heads = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(heads, append=len(keys))
    rank[positions] = np.repeat(slots[heads], sizes)
    tied = (sizes > 1) & long_enough[positions[heads]]
    left = sizes[tied]
    return Ties(slots[np.repeat(tied, sizes)], np.cumsum(left) - left)


def _stretches(ties: Ties) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Ranges of `ties.slots` of whole groups, at most `STRETCH` long or one group, with where their groups begin."""
    heads = ties.heads
    ends = np.append(heads[1:], len(ties.slots))
    at = 0
    while at < len(heads):
        low = int(heads[at])
        after = max(at + 1, int(np.searchsorted(ends, low + STRETCH, side="right")))
        yield low, int(ends[after - 1]), heads[at:after]
        at = after


def _words_before_the_end(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many words each suffix has in its document."""
    ends = np.flatnonzero(tokens == END)
    positions = np.arange(len(tokens), dtype=np.int32)
    return np.repeat(ends.astype(np.int32), np.diff(ends, prepend=-1)) - positions


def _packed(tokens: NDArray[np.int32], depth: int, word_bits: int) -> NDArray[np.uint64]:
    """The first `depth` words of each suffix in one integer.

    Words behind a document's end only order suffixes that are equal up to there.
    """
    n = len(tokens)
    padded = np.concatenate([tokens, np.zeros(depth, np.int32)])
    packed = np.zeros(n, np.uint64)
    for at in range(depth):
        packed <<= np.uint64(word_bits)
        packed |= padded[at : at + n].astype(np.uint64)
    return packed


def _low(keys: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return keys & np.uint64((1 << bits) - 1)
