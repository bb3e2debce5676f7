"""Late chunking: vectors of chunks that know their document. Günther et al., arXiv 2409.04701."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from rag.embed.around import EmbedderAround
from rag.embed.base import Embedder, EmbedderIdentity, Range, Tokenizer, Vectors
from rag.errors import ConfigError, ModelError
from rag.text.graphemes import is_boundary

_WINDOWS = 64  # encoded together
_POOLINGS = ("mean", "sum")  # of unit vectors both are the same


class LateEmbedder(EmbedderAround):
    """Encodes whole documents and pools afterwards: a chunk's vector is the mean of its tokens' states, at unit length.

    A document longer than the encoder's window is read in windows that share `overlap` tokens, and each token's state
    comes from the window in which it is farther from the edge. Windows begin and end between words where there are any.
    A chunk without a token of its own is embedded by itself. Queries, and texts that are no chunks, are embedded as the
    encoder does it. The identity says that, and how, the vectors were made late, so the index of one is refused by the
    other.

    Raises (at first use):
        ModelError: the encoder does not pool by the mean, so the mean of states is no vector of its space.
        ConfigError: `overlap` leaves no room in the encoder's window.
    """

    def __init__(self, embedder: Embedder, *, overlap: int = 64) -> None:
        super().__init__(embedder)
        self.overlap = overlap

    @property
    def identity(self) -> EmbedderIdentity:
        of = self.embedder.identity
        if of.pooling not in _POOLINGS:
            raise ModelError(
                f"{of.model} pools by {of.pooling!r}: only of an encoder that pools by the mean are the means of token "
                "states vectors like any other",
                hint="leave `use: late` out, or choose another model",
            )
        return replace(of, pooling=f"late {of.pooling}, overlap {self.overlap}")

    def embed_chunks(self, documents: Sequence[tuple[str, Sequence[Range]]]) -> Vectors:
        pools = [_Pool(text, chunks, self.identity.dimension) for text, chunks in documents]
        unread = (window for pool in pools for window in self._windows(pool))
        while batch := list(islice(unread, _WINDOWS)):
            texts = [window.text for window in batch]
            for window, states in zip(batch, self.token_states(texts), strict=True):
                window.pool.add(window, self.tokenizer.offsets(window.text), states)
        vectors = [pool.vectors(self.embedder) for pool in pools]
        return np.concatenate([np.empty((0, self.identity.dimension), np.float32), *vectors])

    def _windows(self, pool: _Pool) -> Iterator[_Window]:
        ranges = windows(pool.text, self.tokenizer, overlap=self.overlap) if pool.chunks else []
        if not ranges:
            return
        middles = [(one[1] + other[0]) // 2 for one, other in pairwise(ranges)]
        for (start, end), low, high in zip(ranges, [0, *middles], [*middles, len(pool.text)], strict=True):
            yield _Window(pool, start, pool.text[start:end], low, high)


@dataclass(frozen=True, slots=True)
class _Window:
    """What is encoded at once: the text from `start` on; the tokens that begin in ``[low, high)`` are taken from it."""

    pool: _Pool
    start: int
    text: str
    low: int
    high: int


class _Pool:
    """One document and the sums of its chunks' states so far."""

    def __init__(self, text: str, chunks: Sequence[Range], dimension: int) -> None:
        self.text = text
        self.chunks = chunks
        self.sums = np.zeros((len(chunks), dimension), np.float64)
        bounds = np.array(chunks, np.int64).reshape(-1, 2)
        self.starts, self.ends = bounds[:, 0], bounds[:, 1]

    def add(self, window: _Window, offsets: Sequence[Range], states: Vectors) -> None:
        found = np.array(offsets, np.int64).reshape(-1, 2) + window.start
        mine = (found[:, 0] >= window.low) & (found[:, 0] < window.high)
        starts, ends = found[mine, 0], found[mine, 1]
        states = states[mine]
        if len(states) == 0:
            return
        for at in np.flatnonzero((self.starts < ends[-1]) & (self.ends > starts[0])).tolist():
            first, last = tokens_of(starts, ends, self.starts[at], self.ends[at])
            self.sums[at] += states[first:last].sum(axis=0, dtype=np.float64)

    def vectors(self, embedder: Embedder) -> Vectors:
        """(chunks, d) unit vectors."""
        lengths = np.linalg.norm(self.sums, axis=1, keepdims=True)
        vectors = (self.sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        empty = np.flatnonzero(lengths[:, 0] == 0)
        if len(empty):
            vectors[empty] = embedder.embed_documents([self.text[slice(*self.chunks[at])] for at in empty.tolist()])
        return vectors


def tokens_of(starts: NDArray[np.int64], ends: NDArray[np.int64], start: int, end: int) -> tuple[int, int]:
    """The tokens, a half-open range of them, that have a character in ``[start, end)``.

    >>> tokens_of(np.array([0, 4, 8]), np.array([3, 8, 12]), 4, 9)
    (1, 3)
    """
    return int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end, "left"))


def windows(text: str, tokenizer: Tokenizer, *, overlap: int) -> list[Range]:
    """Ranges of the text that the encoder can read, in order; neighbours share about `overlap` tokens.

    Together they cover every token. The last reaches as far back as the window goes.

    Raises:
        ConfigError: `overlap` is not less than half of the window.
    """
    most = tokenizer.max_tokens
    if 2 * overlap >= most:
        raise ConfigError(
            f"ingest.embed.overlap: expected less than half of the encoder's window of {most} tokens, got {overlap}"
        )
    offsets = tokenizer.offsets(text)
    borders = _borders(text, offsets)
    found: list[Range] = []
    first = 0
    while first < len(offsets):
        last = _fitting(text, tokenizer, offsets, borders, first, most)
        found.append((offsets[first][0], offsets[last - 1][1]))
        if last == len(offsets):
            break
        after = _border(borders, max(first + 1, last - overlap), at_most=last)
        if len(offsets) - after < most:  # the last one: as much before its end as fits
            after = _border(borders, max(first + 1, len(offsets) - most), at_most=last)
        first = after
    return found


def _fitting(
    text: str, tokenizer: Tokenizer, offsets: Sequence[Range], borders: NDArray[np.int64], first: int, most: int
) -> int:
    """The end of the longest run of tokens from `first` that has at most `most` when it is read by itself."""
    last = min(first + most, len(offsets))
    while True:
        if last < len(offsets):
            at = int(np.searchsorted(borders, last, "right")) - 1
            last = int(borders[at]) if borders[at] > first else last
        [count] = tokenizer.count([text[offsets[first][0] : offsets[last - 1][1]]])
        if count <= most or last == first + 1:
            return last
        last = max(first + 1, last - (count - most))


def _borders(text: str, offsets: Sequence[Range]) -> NDArray[np.int64]:
    """The tokens before which a window may begin: behind white space, where there is none for long, anywhere whole."""
    found: list[int] = [0]
    for at, (start, _) in enumerate(offsets):
        spaced = start == 0 or text[start - 1].isspace() or text[start : start + 1].isspace()
        if at and (spaced or (at - found[-1] >= 32 and is_boundary(text, start) and start >= offsets[at - 1][1])):
            found.append(at)
    return np.array(found, np.int64)


def _border(borders: NDArray[np.int64], at: int, *, at_most: int) -> int:
    """The first border from `at` on, or `at_most` where the next is beyond it."""
    place = int(np.searchsorted(borders, at))
    return min(int(borders[place]), at_most) if place < len(borders) else at_most
