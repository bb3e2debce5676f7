"""A suffix array over word numbers, by prefix doubling in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

END = 0
"""Stands after the last word of every document; no phrase holds it."""
LONGEST = 1 << 31  # tokens: positions are int32


def suffix_array(tokens: NDArray[np.int32], *, highest: int) -> NDArray[np.int32]:
    """Where the suffixes of `tokens` start, in the order of what they spell up to their document's end.

    Prefix doubling (Manber and Myers, SODA 1990): suffixes sorted by their first h words are sorted by 2h by comparing
    ranks, and only those that are still tied are looked at again. The first words are packed into 64 bits together with
    the position, so that the first and largest sort moves plain integers. O(n log n) a round, about log2 of the longest
    repeated passage rounds; some 40 bytes a token while it runs.

    Args:
        tokens: (n,) numbers of words, from 1, with `END` after each document, the last one too.
        highest: the greatest of them.

    Returns:
        (n,) positions; equal suffixes in any order.

    >>> suffix_array(np.array([2, 1, 2, 1, 0], np.int32), highest=2).tolist()
    [4, 3, 1, 2, 0]
    """
    n = len(tokens)
    if n == 0:
        return np.empty(0, np.int32)
    if n > LONGEST or tokens[-1] != END:
        raise ValueError(f"expected at most {LONGEST} tokens and a document's end last, got {n} and {tokens[-1]}")
    length = _words_before_the_end(tokens)
    position_bits, word_bits = max(1, (n - 1).bit_length()), max(1, highest.bit_length())
    depth = (64 - position_bits) // word_bits  # words that all suffixes are sorted by so far
    keys = _packed(tokens, depth, word_bits, position_bits)
    keys.sort()
    suffixes = (keys & np.uint64((1 << position_bits) - 1)).astype(np.int32)
    keys >>= np.uint64(position_bits)
    rank = np.empty(n, np.uint32)
    slots, tied = np.arange(n, dtype=np.uint32), suffixes.copy()  # the places in the result still open, who is there
    while True:
        first = np.concatenate([[True], keys[1:] != keys[:-1]])
        heads = np.flatnonzero(first)
        sizes = np.diff(heads, append=len(keys))
        rank[tied] = np.repeat(slots[heads], sizes)
        still = np.repeat((sizes > 1) & (length[tied[heads]] >= depth), sizes)
        slots, tied = slots[still], tied[still]
        if not len(tied):
            return suffixes
        keys = rank[tied].astype(np.uint64) << np.uint64(32)
        keys |= rank[tied + depth]  # within the document, or at its end: the suffix has `depth` words
        order = np.argsort(keys)
        keys, tied = keys[order], tied[order]
        suffixes[slots] = tied
        depth *= 2


def _words_before_the_end(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many words each suffix has in its document."""
    ends = np.flatnonzero(tokens == END)
    positions = np.arange(len(tokens), dtype=np.int32)
    return np.repeat(ends.astype(np.int32), np.diff(ends, prepend=-1)) - positions


def _packed(tokens: NDArray[np.int32], depth: int, word_bits: int, position_bits: int) -> NDArray[np.uint64]:
    """The first `depth` words of each suffix, then its position. Past a document's end stands what follows there,

    which only orders suffixes that are equal anyway.
    """
    n = len(tokens)
    padded = np.concatenate([tokens, np.zeros(depth, np.int32)])
    keys = np.zeros(n, np.uint64)
    for at in range(depth):
        keys <<= np.uint64(word_bits)
        keys |= padded[at : at + n].astype(np.uint64)
    keys <<= np.uint64(position_bits)
    keys |= np.arange(n, dtype=np.uint64)
    return keys
