"""Search by MaxSim over the token vectors of every chunk (late interaction, Khattab and Zaharia, arXiv 2004.12832).

MUVERA's encodings (`rag.index.muvera`) name candidates, MaxSim of the stored token vectors ranks them. Token vectors
and encodings lie in parts beside the index (`rag.index.parts`), made by an ingest or when a reader first searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Lock
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rag.index.base import DenseIndex, Hits, Mask, Rows, Scores
from rag.index.muvera import FixedDimensionalEncoding
from rag.index.parts import Kept, Rowed, keep
from rag.index.ranking import best, spread
from rag.index.segments import SegmentedVectors
from rag.index.tensors import Tensor
from rag.index.token_codes import Gathered, TokenCodes, coded, gathered, maxsim_of_codes
from rag.index.token_store import codes_of, kept_tokens
from rag.models.pruning import early_exit, unpruned
from rag.models.token_encoder import TokenEncoder, TokenVectors

SAMPLE = 128  # chunks whose scores give mean and deviation, the latter within about 6 %
SEED = 20_240_607


@dataclass(frozen=True, slots=True)
class Refinement:
    """How many candidates are scored by MaxSim. `prune` and `patience` as in `rag.models.pruning`; ``None``: not so."""

    candidates: int = 200
    prune: float | None = None
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class FirstPass:
    """`index` searches the encodings; its rows are the places of `kept`."""

    kept: Kept
    encoding: FixedDimensionalEncoding
    index: DenseIndex


class MultiVectorIndex:
    """MaxSim over one generation's chunks: exact where few are allowed, else of the candidates that MUVERA names.

    Token vectors are kept at a byte a dimension, which moves a score by about a thousandth. `mean` and `deviation` are
    of a fixed random sample.
    """

    def __init__(
        self,
        rows: Rowed,
        encoder: TokenEncoder,
        *,
        encoding: Callable[[int], FixedDimensionalEncoding],
        first: Callable[[SegmentedVectors], DenseIndex],
        refinement: Refinement,
    ) -> None:
        self.rows = rows
        self.encoder = encoder
        self.encoding = encoding
        self.first = first
        self.refinement = refinement
        self._tokens: Kept | None = None
        self._first_pass: FirstPass | None = None
        self._lock = Lock()

    def search(self, queries: Sequence[str], *, k: int, allowed: Mask | None) -> list[Hits]:
        """At most `k` rows for each query among those where `allowed` is true.

        What is kept is read at the first call, and what is missing is made.
        """
        return self.search_vectors(self.encoder.encode_queries(queries), k=k, allowed=allowed)

    def search_vectors(self, queries: Sequence[TokenVectors], *, k: int, allowed: Mask | None) -> list[Hits]:
        """The same for queries of (tokens, d) vectors each."""
        tokens = self.tokens()
        mask = self.rows.live if allowed is None else allowed & self.rows.live
        rows = np.flatnonzero(mask)
        exactly = len(rows) <= max(k, self.refinement.candidates, SAMPLE)
        sample = None if exactly else self._sample if allowed is None else _drawn(tokens, rows)
        hits: list[Hits] = []
        for query in queries:
            codes = coded(query)
            if sample is None:
                looked, seen = rows, _maxsim(tokens, codes, rows)
                scores = seen
            else:
                seen = sample.maxsim(codes)
                looked, scores = self.refined(query, k=k, allowed=mask)
            mean, deviation = spread(seen[np.isfinite(seen)])
            kept = np.flatnonzero(np.isfinite(scores))
            order = kept[np.argsort(looked[kept])]
            top, top_scores = best(scores[order], looked[order], k=k)
            hits.append(Hits(top, top_scores, mean, deviation, len(rows), partial(_score, tokens, codes, mean)))
        return hits

    def prepare(self) -> None:
        """Make now what a search reads: the token vectors, and the encodings where there are enough chunks for them."""
        if np.count_nonzero(self.rows.live) > max(self.refinement.candidates, SAMPLE):
            self.first_pass()
        else:
            self.tokens()

    def maxsim(self, query: TokenVectors, rows: Rows) -> Scores:
        """The score of any live rows; NaN for a chunk without tokens, and for all where the query has none."""
        return _maxsim(self.tokens(), coded(query), rows)

    def tokens(self) -> Kept:
        """The token vectors of every chunk; those of new chunks are encoded now."""
        with self._lock:
            if self._tokens is None:
                self._tokens = kept_tokens(self.rows, self.encoder)
            return self._tokens

    def first_pass(self) -> FirstPass:
        """The encodings of every chunk, made of its token vectors where they are missing."""
        tokens = self.tokens()
        with self._lock:
            if self._first_pass is None:
                self._first_pass = self._encoded(tokens)
            return self._first_pass

    @cached_property
    def _sample(self) -> Gathered:
        return _drawn(self.tokens(), np.flatnonzero(self.rows.live))

    def refined(self, query: TokenVectors, *, k: int, allowed: Mask | None) -> tuple[Rows, Scores]:
        """The candidates that were scored for the `k` best, in the order of the encodings, and their MaxSim."""
        tokens, codes, mask = self.tokens(), coded(query), self.rows.live if allowed is None else allowed
        options, first = self.refinement, self.first_pass()
        there = first.kept.rows
        allowed = (there >= 0) & mask[there]
        asked = first.encoding.query(query)[np.newaxis]
        [hits] = first.index.search(asked, k=max(k, options.candidates), allowed=allowed)
        near = there[hits.rows]
        wanted = len(near)
        if options.prune is not None:
            wanted = unpruned(hits.scores.astype(np.float64), keep=k, share=options.prune)
        if options.patience is None:
            return near[:wanted], _maxsim(tokens, codes, near[:wanted])
        scores = early_exit(
            _maxsim(tokens, codes, near[: min(k, wanted)]).tolist(),
            lambda start, end: _maxsim(tokens, codes, near[start:end]).astype(np.float64),
            count=wanted,
            keep=k,
            patience=options.patience,
        )
        return near[: len(scores)], np.array(scores, np.float32)

    def _encoded(self, tokens: Kept) -> FirstPass:
        rows, encoding = self.rows, self.encoding(tokens.parts[0].tensors["codes"].shape[1])
        key = f"{rows.key} {encoding.options}"

        def encode(some: Rows) -> tuple[NDArray[np.int64], dict[str, Tensor]]:
            made = [encoding.document(codes.decoded()) for codes in codes_of(tokens, some)]
            return np.ones(len(some), np.int64), {"encodings": np.stack(made)}

        kept = keep(replace(rows, key=key), "encodings", encode=encode)
        vectors = SegmentedVectors(
            folder=rows.folder / "first",
            key=key,
            dimension=encoding.size,
            parts=[cast("NDArray[np.float32]", part.tensors["encodings"]) for part in kept.parts],
            chunks=np.concatenate([part.chunks for part in kept.parts]),
            live=kept.rows >= 0,
        )
        return FirstPass(kept, encoding, self.first(vectors))


def _drawn(tokens: Kept, rows: Rows) -> Gathered:
    """A fixed random sample of some rows."""
    return gathered(codes_of(tokens, np.random.default_rng(SEED).choice(rows, SAMPLE, replace=False)))


def _maxsim(tokens: Kept, query: TokenCodes, rows: Rows) -> Scores:
    return maxsim_of_codes(query, codes_of(tokens, rows))


def _score(tokens: Kept, query: TokenCodes, mean: float, rows: Rows) -> Scores:
    """The scores of any rows; what has no tokens, or is of another generation, scores the mean."""
    there = rows >= 0
    scores = np.full(len(rows), mean, np.float32)
    found = _maxsim(tokens, query, rows[there])
    scores[there] = np.where(np.isfinite(found), found, np.float32(mean))
    return scores
