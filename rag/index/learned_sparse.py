"""Search by terms that a model weighs (SPLADE and its kin): exact, or by Seismic with exact scores.

What the encoder makes of each chunk lies in parts beside the index (`rag.index.parts`), made by an ingest or when a
reader first searches; the postings, or Seismic's index, are made of it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from rag.index import seismic
from rag.index.base import Hits, Mask, Rows, Scores
from rag.index.derived import DEAD, DerivedFile, rows_of
from rag.index.parts import Kept, Rowed, keep
from rag.index.ranking import best, spread
from rag.index.seismic import Seismic, SeismicOptions
from rag.index.tensors import Tensor
from rag.index.term_weights import TermPostings, documents_at, open_postings, products
from rag.models.sparse_encoder import TermEncoder, WeightedTerms

logger = logging.getLogger(__name__)

EXACT_ROWS = 100_000  # up to so many chunks all are scored: as fast as Seismic, and never a miss
NEW = (
    0.05  # share of chunks that Seismic's index may lack before it is made anew; until then they are scored one by one
)
SAMPLE = 4096  # chunks whose scores give mean and deviation, within about 2 % of a deviation
SEED = 20_240_607
BATCH = 128  # texts encoded at a time


@dataclass(frozen=True, slots=True)
class Built:
    """Seismic's index; its document n is ``rows[n]``, -1 where that was deleted. `others` are the rows it lacks."""

    index: Seismic
    rows: Rows
    others: Rows


class LearnedSparseIndex:
    """Inner products of weighted terms; a chunk that shares no term with the query is never a hit.

    With `options`, Seismic names candidates where there are more than 100,000 chunks and none is forbidden; then `mean`
    and `deviation` are of a fixed random sample. With `by_idf`, a query is its own terms, each weighted by how few
    chunks have it, and no model runs for it.
    """

    def __init__(
        self, rows: Rowed, encoder: TermEncoder, *, by_idf: bool = False, options: SeismicOptions | None = None
    ) -> None:
        self.rows = rows
        self.encoder = encoder
        self.by_idf = by_idf
        self.options = options
        self._lock = RLock()
        self._kept: Kept | None = None
        self._postings: TermPostings | None = None
        self._built: Built | None = None

    def search(self, queries: Sequence[str], *, k: int, allowed: Mask | None) -> list[Hits]:
        """At most `k` rows for each query among those where `allowed` is true.

        What is kept is read at the first call, and what is missing is made.
        """
        if self.by_idf:
            weighted = [self.idf(tokens) for tokens in self.encoder.tokens(queries)]
        else:
            weighted = self.encoder.encode_queries(queries)
        return self.search_terms(weighted, k=k, allowed=allowed)

    def search_terms(self, queries: Sequence[WeightedTerms], *, k: int, allowed: Mask | None) -> list[Hits]:
        """The same for queries of weighted terms."""
        kept = self.kept()
        live = np.flatnonzero(self.rows.live)
        if self.options is not None and allowed is None and len(live) > max(EXACT_ROWS, k):
            return [self._by_seismic(kept, self.built(), query, k, live) for query in queries]
        rows = live if allowed is None else np.flatnonzero(allowed & self.rows.live)
        return [self._exactly(kept, query, k, rows) for query in queries]

    def idf(self, tokens: NDArray[np.int32]) -> WeightedTerms:
        """Query weights from the chunks alone: ``ln(1 + (N - n + .5) / (n + .5))`` of terms that n of N chunks have."""
        frequencies = self.postings().frequencies[tokens]
        size = len(self.kept().rows)
        weights = np.log1p((size - frequencies + 0.5) / (frequencies + 0.5))
        return WeightedTerms(tokens[frequencies > 0], weights[frequencies > 0].astype(np.float32))

    def prepare(self) -> None:
        """Make now what a search reads: the weighted terms, their postings, and Seismic's index where it takes over."""
        self.postings()
        if self.options is not None and np.count_nonzero(self.rows.live) > EXACT_ROWS:
            self.built()

    def kept(self) -> Kept:
        """The weighted terms of every chunk; new chunks are encoded now."""
        with self._lock:
            if self._kept is None:
                self._kept = keep(self.rows, "terms", encode=self._encode)
            return self._kept

    def postings(self) -> TermPostings:
        kept = self.kept()
        with self._lock:
            if self._postings is None:
                file = DerivedFile(self.rows.folder / "postings.safetensors", self.rows.key)
                self._postings = open_postings(file, kept, terms=self._terms)
            return self._postings

    def built(self) -> Built:
        """Seismic's index, made anew where it lacks too many chunks or holds too many that were deleted."""
        kept = self.kept()
        with self._lock:
            if self._built is None:
                self._built = self._build(kept)
            return self._built

    @cached_property
    def _terms(self) -> int:
        return self.encoder.terms

    @cached_property
    def _sample(self) -> TermPostings:
        live = np.flatnonzero(self.rows.live)
        drawn = np.random.default_rng(SEED).choice(live, min(SAMPLE, len(live)), replace=False)
        kept = self.kept()
        return TermPostings.of(documents_at(kept, kept.places[drawn]), terms=self._terms)

    def _exactly(self, kept: Kept, query: WeightedTerms, k: int, rows: Rows) -> Hits:
        scores = self.postings().scores(query, size=len(kept.rows))[kept.places[rows]].astype(np.float32)
        mean, deviation = spread(scores)
        matching = np.flatnonzero(scores)
        top, top_scores = best(scores[matching], rows[matching], k=k)
        return Hits(top, top_scores, mean, deviation, len(rows), partial(self._score, kept, query, mean))

    def _by_seismic(self, kept: Kept, built: Built, query: WeightedTerms, k: int, live: Rows) -> Hits:
        size = min(SAMPLE, len(live))
        mean, deviation = spread(self._sample.scores(query, size=size).astype(np.float32))
        found = built.rows[built.index.find(query, k=k)]
        rows = np.sort(np.concatenate([found[found >= 0], built.others]))
        if len(rows) < k:  # deleted chunks were among the candidates, or few match: then there is little to score
            return self._exactly(kept, query, k, live)
        scores = self._products(kept, query, rows)
        matching = np.flatnonzero(scores)
        top, top_scores = best(scores[matching], rows[matching], k=k)
        return Hits(top, top_scores, mean, deviation, len(live), partial(self._score, kept, query, mean))

    def _products(self, kept: Kept, query: WeightedTerms, rows: Rows) -> Scores:
        return products(query, documents_at(kept, kept.places[rows]), terms=self._terms)

    def _score(self, kept: Kept, query: WeightedTerms, mean: float, rows: Rows) -> Scores:
        """The scores of any rows; what is of another generation scores the mean."""
        there = rows >= 0
        scores = np.full(len(rows), mean, np.float32)
        scores[there] = self._products(kept, query, rows[there])
        return scores

    def _build(self, kept: Kept) -> Built:
        assert self.options is not None, "only asked for with options"
        options, terms = self.options, self._terms
        live = np.flatnonzero(self.rows.live)
        chunks = self.rows.chunks[live]
        made_with = " ".join(f"{name}={value}" for name, value in options.build.items())
        file = DerivedFile(self.rows.folder / "seismic.index", f"{self.rows.key} seismic {made_with}")
        held = file.chunks()
        if held is not None and np.isin(held, chunks).mean() >= 1 - DEAD and np.isin(chunks, held).mean() >= 1 - NEW:
            index = seismic.load(file.path, terms=terms, options=options)
        else:
            logger.info("making %s of %d chunks", file.path, len(chunks))
            held = chunks
            with TemporaryDirectory() as folder:  # the index's own folder may be one to read only
                path = Path(folder) / "index"
                seismic.build(path, documents_at(kept, kept.places[live]), terms=terms, options=options)
                index = seismic.load(path, terms=terms, options=options)
                file.write(held, partial(_copy, path))
        return Built(index, rows_of(self.rows, held), live[np.isin(chunks, held, invert=True)])

    def _encode(self, rows: Rows) -> tuple[NDArray[np.int64], dict[str, Tensor]]:
        texts = self.rows.texts(rows)
        found: list[WeightedTerms] = []
        for start in range(0, len(texts), BATCH):
            found += self.encoder.encode_documents(texts[start : start + BATCH])
        lengths = np.array([len(each.terms) for each in found], np.int64)
        terms = np.concatenate([each.terms for each in found])
        return lengths, {"terms": terms, "weights": np.concatenate([each.weights for each in found])}


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
