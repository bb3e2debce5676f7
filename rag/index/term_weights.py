"""Exact scoring of weighted terms: postings of every term, and the terms of every chunk.

Sums are of double precision, so that a chunk's score does not depend on the order of its terms or on which of the two
gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Rows, Scores
from rag.index.derived import DerivedFile
from rag.index.parts import Kept, starts_of
from rag.index.tensors import map_tensors, write_tensors
from rag.models.sparse_encoder import WeightedTerms

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TermPostings:
    """Term t stands in the places ``places[starts[t]:starts[t + 1]]``, ascending, with those weights."""

    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    weights: NDArray[np.float32]

    @staticmethod
    def of(documents: Sequence[WeightedTerms], *, terms: int) -> TermPostings:
        """The postings of some documents, numbered from 0, over a vocabulary of so many terms."""
        numbers = np.concatenate([document.terms for document in documents] or [np.empty(0, np.int32)])
        weights = np.concatenate([document.weights for document in documents] or [np.empty(0, np.float32)])
        lengths = np.array([len(document.terms) for document in documents], np.int64)
        order = np.argsort(numbers, kind="stable")
        places = np.repeat(np.arange(len(documents), dtype=np.int32), lengths)[order]
        return TermPostings(starts_of(np.bincount(numbers, minlength=terms)), places, weights[order])

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """(terms,) in how many documents each stands."""
        return np.diff(self.starts)

    def scores(self, query: WeightedTerms, *, size: int) -> Floats:
        """(size,) the sum over the query's terms of the product of both weights, for each document."""
        if not len(query.terms):
            return np.zeros(size)
        starts, ends = self.starts[query.terms].tolist(), self.starts[query.terms + 1].tolist()
        mine = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
        weights = np.concatenate([self.weights[each] for each in mine])
        of_query = np.repeat(query.weights.astype(np.float64), [each.stop - each.start for each in mine])
        places = np.concatenate([self.places[each] for each in mine])
        return np.asarray(np.bincount(places, weights=weights * of_query, minlength=size), np.float64)


def open_postings(file: DerivedFile, kept: Kept, *, terms: int) -> TermPostings:
    """The postings of all places, deleted ones included, read from `file` or made and kept there."""
    chunks = np.concatenate([part.chunks for part in kept.parts] or [np.empty(0, np.int64)])
    held = file.chunks()
    if held is not None and np.array_equal(held, chunks):
        tensors = map_tensors(file.path)
        return TermPostings(
            cast("NDArray[np.int64]", tensors["starts"]),
            cast("NDArray[np.int32]", tensors["places"]),
            cast("NDArray[np.float32]", tensors["weights"]),
        )
    made = TermPostings.of(documents_at(kept, np.arange(len(chunks))), terms=terms)
    tensors = {"starts": made.starts, "places": made.places, "weights": made.weights}
    file.write(chunks, lambda path: write_tensors(path, tensors))
    return made


def documents_at(kept: Kept, places: Rows) -> list[WeightedTerms]:
    """What the encoder made of the chunks at some places."""
    found: list[WeightedTerms] = []
    for part, at in kept.find(places):
        of_chunk = slice(part.starts[at], part.starts[at + 1])
        terms, weights = part.tensors["terms"][of_chunk], part.tensors["weights"][of_chunk]
        found.append(WeightedTerms(cast("NDArray[np.int32]", terms), cast("NDArray[np.float32]", weights)))
    return found


def products(query: WeightedTerms, documents: Sequence[WeightedTerms], *, terms: int) -> Scores:
    """(len(documents),) float32: the inner product of the query with each document.

    >>> query = WeightedTerms(np.array([0, 2], np.int32), np.array([1, 2], np.float32))
    >>> document = WeightedTerms(np.array([1, 2], np.int32), np.array([9, 1.5], np.float32))
    >>> products(query, [document], terms=3).tolist()
    [3.0]
    """
    wanted = np.zeros(terms)
    wanted[query.terms] = query.weights
    lengths = np.array([len(document.terms) for document in documents], np.int64)
    if not lengths.sum():
        return np.zeros(len(documents), np.float32)
    numbers = np.concatenate([document.terms for document in documents])
    weights = np.concatenate([document.weights for document in documents])
    owners = np.repeat(np.arange(len(documents)), lengths)
    return np.bincount(owners, weights=wanted[numbers] * weights, minlength=len(documents)).astype(np.float32)
