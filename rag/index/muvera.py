"""MUVERA: one vector for a set of token vectors, whose inner products stand for MaxSim.

Dhulipala, Hadian, Jayaram, Lee and Mirrokni, arXiv 2405.19504. Random planes cut the sphere of token vectors into
buckets, the same for questions and documents. A document's tokens in a bucket are averaged, a question's are summed, so
that the inner product of two buckets is the sum over the question's tokens of their mean similarity with the document's
tokens nearby. Several repetitions, each with its own planes, lie one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.models.token_encoder import TokenVectors

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FixedDimensionalEncoding:
    """Makes the encodings. Questions and documents must be encoded with equal options.

    Attributes:
        width: of a token vector.
        repetitions: how often the sphere is cut; their scores add up, so scores grow with it.
        planes: of one repetition, each a random plane through the origin: 2^planes buckets.
        inner: what token vectors are projected to, by a random matrix of ±1 / sqrt(inner); ``None``: left as they are.
        dimension: what the whole is folded to, each number added to a random place with a random sign (a count sketch);
            ``None``: not at all.
        seed: of everything random.
    """

    width: int
    repetitions: int = 20
    planes: int = 5
    inner: int | None = 16
    dimension: int | None = None
    seed: int = 20_240_607

    @property
    def size(self) -> int:
        """Numbers in an encoding."""
        return self.dimension or self._unfolded

    @property
    def options(self) -> str:
        """All that an encoding depends on besides the token vectors."""
        return (
            f"muvera width={self.width} repetitions={self.repetitions} planes={self.planes} inner={self.inner} "
            f"dimension={self.dimension} seed={self.seed}"
        )

    def query(self, tokens: TokenVectors) -> Floats:
        """(size,): each bucket holds the sum of its tokens; an empty one is 0."""
        cells, projected = self._cells(tokens), self._projected(tokens)
        blocks = np.zeros((self.repetitions, self._buckets, projected.shape[2]), np.float32)
        for repetition in range(self.repetitions):
            np.add.at(blocks[repetition], cells[repetition], projected[repetition])
        return self._folded(blocks)

    def document(self, tokens: TokenVectors) -> Floats:
        """(size,): each bucket holds the mean of its tokens; an empty one the first of the tokens nearest to it.

        Nearest is the token whose bucket differs in the fewest planes. No tokens: zeros.
        """
        if not len(tokens):
            return np.zeros(self.size, np.float32)
        cells, projected = self._cells(tokens), self._projected(tokens)
        blocks = np.empty((self.repetitions, self._buckets, projected.shape[2]), np.float32)
        for repetition in range(self.repetitions):
            mine, vectors = cells[repetition], projected[repetition]
            membership = (mine == np.arange(self._buckets)[:, None]).astype(np.float32)  # (buckets, tokens)
            counts = membership.sum(axis=1, keepdims=True)
            nearest = vectors[self._distances[:, mine].argmin(axis=1)]
            blocks[repetition] = np.where(counts > 0, membership @ vectors / np.maximum(counts, 1), nearest)
        return self._folded(blocks)

    @property
    def _buckets(self) -> int:
        return 1 << self.planes

    @property
    def _unfolded(self) -> int:
        return self.repetitions * self._buckets * (self.inner or self.width)

    def _cells(self, tokens: TokenVectors) -> NDArray[np.int64]:
        """(repetitions, tokens) the bucket of each token: bit i is set above plane i."""
        above = np.matmul(tokens, self._normals) > 0  # (repetitions, tokens, planes)
        cells: NDArray[np.int64] = above.astype(np.int64) @ (1 << np.arange(self.planes))
        return cells

    def _projected(self, tokens: TokenVectors) -> Floats:
        """(repetitions, tokens, inner)"""
        if self._signs is None:
            return np.broadcast_to(tokens, (self.repetitions, *tokens.shape))
        projected: Floats = np.matmul(tokens, self._signs)
        return projected

    def _folded(self, blocks: Floats) -> Floats:
        flat = blocks.reshape(-1)
        if self._sketch is None:
            return flat
        places, signs = self._sketch
        return np.bincount(places, weights=flat * signs, minlength=self.size).astype(np.float32)

    @cached_property
    def _normals(self) -> Floats:
        """(repetitions, width, planes) the planes' normal vectors."""
        normals = self._random(0).standard_normal((self.repetitions, self.width, self.planes))
        return np.asarray(normals, np.float32)

    @cached_property
    def _signs(self) -> Floats | None:
        """(repetitions, width, inner)"""
        if self.inner is None:
            return None
        signs = self._random(1).randint(0, 2, (self.repetitions, self.width, self.inner)) * 2 - 1
        return np.asarray(signs / np.sqrt(self.inner), np.float32)

    @cached_property
    def _sketch(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Where each number goes, and its sign."""
        if self.dimension is None:
            return None
        random = self._random(2)
        places = random.randint(0, self.dimension, self._unfolded)
        return places, random.randint(0, 2, self._unfolded) * 2 - 1

    @cached_property
    def _distances(self) -> NDArray[np.uint8]:
        """(buckets, buckets) in how many planes two buckets differ."""
        buckets = np.arange(self._buckets)
        return np.asarray(np.bitwise_count(buckets[:, None] ^ buckets), np.uint8)

    def _random(self, stream: int) -> np.random.RandomState:
        # The old generator, because its numbers never change: encodings outlive a version of numpy.
        return np.random.RandomState([self.seed, stream])
