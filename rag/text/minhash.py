"""Near-duplicate texts: resemblance of shingle sets, and MinHash to find the pairs worth comparing.

Broder, "On the resemblance and containment of documents", 1997. Shingles are of characters, so that it works in every
script; letters and digits alone count, case and spacing do not. MinHash only proposes pairs: whether two texts are near
duplicates is decided by their shingle sets, exactly. Of each least hash a signature has the lowest byte: two that
differ agree in it once in 256 times (b-bit minwise hashing, Li and König, arXiv 0910.3349).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

WIDTH = 5  # characters of a shingle
BANDS, ROWS = 21, 6  # of a signature; pairs of resemblance 0.8 share a band with probability 0.998, of 0.5 with 0.28
BLOCK = 4096  # shingles hashed at a time: 4 MB
SEED = 20_240_607
NAME = f"minhash {WIDTH} {BANDS} {ROWS} {SEED} 8"
"""What signatures depend on: those of another name cannot be compared."""
_OTHER = re.compile(r"[\W_]+")
_RANDOM = np.random.default_rng(SEED)
_FACTORS = _RANDOM.integers(1, 1 << 63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_MIXED = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_POWERS = np.array([pow(0x9E3779B97F4A7C15, place, 1 << 64) for place in range(WIDTH)], np.uint64)

NOTHING = np.int8(-1)
"""In every place of the signature of a text without letters and digits."""

Shingles: TypeAlias = NDArray[np.uint64]
Signature: TypeAlias = NDArray[np.int8]


def shingles(text: str) -> Shingles:
    """The distinct hashes of all runs of five characters, ascending; a shorter text is one run, an empty one none."""
    plain = _OTHER.sub(" ", text.casefold()).strip()
    if not plain:
        return np.empty(0, np.uint64)
    characters = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    width = min(WIDTH, len(characters))
    count = len(characters) - width + 1
    hashes = np.zeros(count, np.uint64)
    for place in range(width):
        hashes += (characters[place : place + count] + np.uint64(1)) * _POWERS[place]
    return np.unique(_mixed(hashes))


def resemblance(some: Shingles, others: Shingles) -> float:
    """Shared shingles over all shingles of both (Jaccard); 0 where one text has none.

    >>> one, other = shingles("the dog barks"), shingles("The dog -- barks!")
    >>> resemblance(one, other)
    1.0
    """
    if not len(some) or not len(others):
        return 0.0
    shared = len(np.intersect1d(some, others, assume_unique=True))
    return shared / (len(some) + len(others) - shared)


def signature(of: Shingles) -> Signature:
    """(BANDS * ROWS,) of the least hashes: two agree in about as large a share of places as the sets share."""
    least = np.full(len(_FACTORS), np.iinfo(np.uint64).max)
    for start in range(0, len(of), BLOCK):
        np.minimum(least, (of[start : start + BLOCK] * _FACTORS[:, np.newaxis]).min(axis=1), out=least)
    return least.astype(np.uint8).view(np.int8)


def agreement(signatures: NDArray[np.int8]) -> NDArray[np.float64]:
    """(n, n) the share of places in which two of (n, places) agree: their resemblance, within 0.04 of it as a rule."""
    return np.stack([(signatures == one).mean(axis=1) for one in signatures])


def sharing(signatures: Sequence[Signature]) -> Iterator[tuple[int, int]]:
    """Pairs that share a band, for very many signatures: each with the first of those it shares it with, none twice."""
    seen: set[tuple[int, int]] = set()
    for band in range(BANDS):
        first: dict[bytes, int] = {}
        for at, one in enumerate(signatures):
            pair = first.setdefault(one[band * ROWS : (band + 1) * ROWS].tobytes(), at), at
            if pair[0] != at and pair not in seen:
                seen.add(pair)
                yield pair


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of a hash depends on every bit of what it was (Stafford's mix of splitmix64)."""
    for factor, shift in zip(_MIXED, (30, 27), strict=True):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * factor
    return hashes ^ (hashes >> np.uint64(31))
