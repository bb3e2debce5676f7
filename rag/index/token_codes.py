"""Token vectors at one byte a dimension, and MaxSim over them, the same to the last bit wherever a chunk is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.models.token_encoder import TokenVectors

TOP = 127
TOGETHER = 64  # chunks compared at a time: their numbers stay in the processor's cache


@dataclass(frozen=True, slots=True)
class TokenCodes:
    """Row i stands for ``codes[i] * scales[i]``: (tokens, d) int8 and (tokens,) float32."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]

    def decoded(self) -> TokenVectors:
        return self.codes.astype(np.float32) * self.scales[:, None]


def coded(vectors: TokenVectors) -> TokenCodes:
    """The largest coordinate of each vector becomes ±127, the others are rounded to whole numbers.

    >>> found = coded(np.array([[0.6, -0.8]], np.float32))
    >>> found.codes.tolist(), round(float(found.scales[0]), 6)
    ([[95, -127]], 0.006299)
    """
    scales = np.abs(vectors).max(axis=1, initial=0.0).astype(np.float32) / np.float32(TOP)
    safe = np.where(scales > 0, scales, np.float32(1))
    return TokenCodes(np.rint(vectors / safe[:, None]).astype(np.int8), scales)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Documents one after the other, ready to be compared with a query.

    Attributes:
        codes: (tokens of all, d) float32, whole numbers.
        scales: (tokens of all, 1) float32.
        starts: where each document begins that has tokens.
        there: (documents,) whether it has any.
    """

    codes: NDArray[np.float32]
    scales: NDArray[np.float32]
    starts: NDArray[np.int64]
    there: NDArray[np.bool_]

    def best_matches(self, query: TokenVectors) -> NDArray[np.float32]:
        """(documents, tokens of the query) float32, as `rag.models.token_encoder.best_matches`."""
        matches = np.full((len(self.there), len(query)), np.nan, np.float32)
        if len(query) and len(self.starts):
            matches[self.there] = self._best(np.ascontiguousarray(query.T, np.float32))
        return matches

    def maxsim(self, query: TokenCodes) -> NDArray[np.float32]:
        """(documents,) float32; NaN for a document without tokens, and for all where the query has none."""
        scores = np.full(len(self.there), np.nan, np.float32)
        if len(query.codes) and len(self.starts):
            best = self._best(np.ascontiguousarray(query.codes.T, np.float32))
            scores[self.there] = (best * query.scales).sum(axis=1)
        return scores

    def _best(self, tokens: NDArray[np.float32]) -> NDArray[np.float32]:
        """(documents that have tokens, n) for the query's tokens as columns (d, n)."""
        similarities = self.codes @ tokens  # (tokens of all, of the query)
        similarities *= self.scales
        return np.maximum.reduceat(similarities, self.starts, axis=0)


def gathered(documents: Sequence[TokenCodes]) -> Gathered:
    """Some documents in one, at least one."""
    lengths = np.array([len(document.codes) for document in documents], np.int64)
    there = lengths > 0
    return Gathered(
        np.concatenate([document.codes for document in documents], dtype=np.float32),
        np.concatenate([document.scales for document in documents])[:, None],
        (np.cumsum(lengths) - lengths)[there],
        there,
    )


def maxsim_of_codes(query: TokenCodes, documents: Sequence[TokenCodes]) -> NDArray[np.float32]:
    """The sum over the query's tokens of the best match in each document (`rag.models.token_encoder.maxsim`).

    Products of codes are whole numbers that float32 holds exactly (up to 1040 dimensions whatever they are, and beyond
    in practice), so neither the order of a sum nor who else is scored changes a score.

    Returns:
        (len(documents),) float32; NaN for a document without tokens, and for all where the query has none.
    """
    blocks = [documents[first : first + TOGETHER] for first in range(0, len(documents), TOGETHER)]
    scores = [gathered(block).maxsim(query) for block in blocks]
    return np.concatenate(scores) if scores else np.empty(0, np.float32)


def best_matches_of_codes(query: TokenVectors, documents: Sequence[TokenCodes]) -> NDArray[np.float32]:
    """(len(documents), tokens of the query) float32: the best inner product of each with a token of the document.

    NaN for a document without tokens. The query's vectors are taken as they are.
    """
    blocks = [documents[first : first + TOGETHER] for first in range(0, len(documents), TOGETHER)]
    found = [gathered(block).best_matches(query) for block in blocks]
    return np.concatenate(found) if found else np.empty((0, len(query)), np.float32)
