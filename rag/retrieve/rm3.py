"""RM3: pseudo relevance feedback for sparse retrieval."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rag.errors import ConfigError
from rag.index.bm25 import Bm25Index
from rag.retrieve.hits import MARGIN, retrieve
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask
    from rag.index.reader import Reader
    from rag.resources import Resources


class Rm3Retriever:
    """The `k` best chunks for the question's words and those of the chunks it found first, weighted.

    A term's weight in the second search is ``original * q(t) + (1 - original) * r(t)``: q its share of the question's
    terms, r its share of a relevance model over the first `feedback` chunks d of the BM25 ranking, ``r(t) ~ sum over d
    of score(d) * tf(t, d) / |d|``, cut at the `terms` heaviest. Terms of more than the share `common` of all chunks
    (and of more than `feedback` chunks) are no feedback. Only chunks that filter and principals allow are ever read.

    Abdul-Jaleel et al., TREC 2004 (UMass); 10 chunks, 10 terms and half the weight are usual.

    Raises:
        ConfigError: the index holds no terms, or not those of BM25.
    """

    def __init__(
        self, resources: Resources, *, k: int, feedback: int, terms: int, original: float, common: float
    ) -> None:
        self.resources = resources
        self.k = k
        self.feedback = feedback
        self.terms = terms
        self.original = original
        self.common = common

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        reader = self.resources.index.reader()
        index = reader.sparse
        if not isinstance(index, Bm25Index):
            raise ConfigError(
                "ask.retrieve: `rm3` weighs the terms of BM25, the index has none",
                hint="set ingest.index.sparse to {use: bm25} and run `rag ingest` again, or leave `rm3` out",
            )
        bm25 = index  # for the closure: known to be BM25

        def search(positions: Sequence[int], allowed: Mask | None) -> list[Hits]:
            words = [Counter(bm25.analyzer.terms(queries[at].words)) for at in positions]
            first = bm25.search_terms(words, k=self.feedback, allowed=allowed)
            expanded = [
                self._expanded(of_query, hits, reader, bm25) for of_query, hits in zip(words, first, strict=True)
            ]
            return bm25.search_terms(expanded, k=self.k + MARGIN, allowed=allowed)

        return retrieve(queries, reader, search, k=self.k, origin="rm3")

    def _expanded(self, words: Mapping[str, int], first: Hits, reader: Reader, index: Bm25Index) -> dict[str, float]:
        chunks = reader.chunks([int(row) for row in first.rows])
        most = max(self.common * reader.size, self.feedback)

        def usable(term: str) -> bool:
            return index.df(term) <= most

        texts = [Counter(index.analyzer.terms(chunk.indexed_text)) for chunk in chunks]
        model = relevance_model(texts, first.scores.tolist(), keep=self.terms, usable=usable)
        return interpolated(shares(words), model, original=self.original)


def relevance_model(
    chunks: Sequence[Mapping[str, int]], scores: Sequence[float], *, keep: int, usable: Callable[[str], bool]
) -> dict[str, float]:
    """RM1: the `keep` heaviest terms of chunks, each chunk's counts as shares of 1 times its score; the sum is 1.

    Ties go by term. Terms that are not `usable` count in the length of a chunk all the same.

    >>> relevance_model([{"a": 1, "b": 3}, {"b": 1}], [2.0, 1.0], keep=2, usable=lambda term: True)
    {'b': 0.8333333333333334, 'a': 0.16666666666666666}
    """
    weights: defaultdict[str, float] = defaultdict(float)
    for counts, score in zip(chunks, scores, strict=True):
        for term, share in shares(counts).items():
            weights[term] += score * share
    kept: dict[str, float] = {}
    for term in sorted(weights, key=lambda term: (-weights[term], term)):
        if len(kept) == keep:
            break
        if usable(term):
            kept[term] = weights[term]
    return shares(kept)


def interpolated(query: Mapping[str, float], model: Mapping[str, float], *, original: float) -> dict[str, float]:
    """``original * query + (1 - original) * model``; the query alone where there is no model."""
    if not model:
        return dict(query)
    mixed = {
        term: original * query.get(term, 0.0) + (1 - original) * model.get(term, 0.0) for term in {**query, **model}
    }
    return {term: weight for term, weight in mixed.items() if weight > 0}


def shares(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {term: count / total for term, count in counts.items()} if total else {}
