"""What speaks for a candidate, computed for all candidates of a question: the signs that a trained head weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from math import hypot, log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError
from rag.models.linear_head import standardised
from rag.rerank.late_interaction import rarity
from rag.rerank.proximity import proximity
from rag.types import Chunk, Document, Query

if TYPE_CHECKING:
    from rag.embed.base import Vectors
    from rag.index.reader import Reader
    from rag.rerank.token_matches import TokenMatches
    from rag.resources import Resources
    from rag.text.analyze import Analyzer

Floats = NDArray[np.float64]

OF_TERMS = ("words", "title", "bridge", "phrases", "near")
OF_TOKENS = ("maxsim", "rare")
SIGNS = ("central", *OF_TERMS, *OF_TOKENS)
"""In the order in which heads keep them."""

FIRST = 3
"""How many of the best candidates say what the others should be near to."""
BRIDGES = 5
"""How many of the best candidates may name where the answer goes on."""
MATCH = 0.5
"""The cosine from which a candidate matches a token of the question."""


class Signs:
    """Computes signs of candidates, each brought to mean 0 over the candidates of the question.

    - central: the mean cosine with the first three candidates, itself left out: what is relevant is often alike;
    - words: the share of the question's terms that the chunk has, each by how few candidates have it; title: the same
      for the title of its document;
    - phrases: the share of the question's pairs of neighbouring terms that stand so in the chunk; near: the same for
      pairs within eight terms of each other (`rag.rerank.proximity`);
    - bridge: the share of its title, the question's terms left out, that one of the first five of other documents
      names: where an answer goes on that the question does not name;
    - maxsim: the sum over the question's tokens of the best match in the chunk; rare: the same with each token weighed
      by how few candidates match it (`rag.rerank.late_interaction.rarity`); these two compare token vectors.

    Their deviation is the share that vectors have in what tells the candidates apart, for those of terms that of terms
    (`trusts`): where the encoder does not know the language, what it says of a candidate is noise, and counts
    for little. What cannot be told of a candidate (a text without tokens, a chunk that the index no longer has) is 0,
    the mean.

    The scores of the two retrievers themselves, and the length, are no signs: their best weights are those of one
    collection, and did harm on others (docs/training.md).

    Raises:
        ConfigError: the index lacks vectors or terms.
    """

    def __init__(self, resources: Resources, tokens: TokenMatches) -> None:
        self.resources = resources
        self.tokens = tokens

    def of(self, query: Query, chunks: Sequence[Chunk], *, names: Sequence[str]) -> dict[str, Floats]:
        """The signs `names`, each (n,), of the candidates, best first."""
        reader = self.resources.index.reader()
        if reader.dense is None:
            raise _lacking("vectors", "dense")
        if reader.sparse is None:
            raise _lacking("terms", "sparse")
        rows = reader.rows_of(chunks)
        question = self.resources.embedder.embed_queries([query.text])
        [dense] = reader.dense.search(question, k=1, allowed=None)
        [sparse] = reader.sparse.search([query.words], k=1, allowed=None)
        known = rows >= 0
        cosines, scores = (np.where(known, hits.score(rows), np.nan).astype(np.float64) for hits in (dense, sparse))
        of_vectors, of_terms = trusts(cosines, scores, dense.deviation, sparse.deviation)
        found: dict[str, Floats] = {}
        if "central" in names:
            vectors = np.full((len(chunks), question.shape[1]), np.nan, np.float32)
            vectors[known] = reader.vectors(rows[known])
            found["central"] = centrality(vectors)
        if any(name in names for name in OF_TERMS):
            found |= _of_terms(query, chunks, reader, self._analyzer(reader))
        if any(name in names for name in OF_TOKENS):
            found |= self._of_tokens(query, chunks)
        return {name: (of_terms if name in OF_TERMS else of_vectors) * standardised(found[name]) for name in names}

    def _analyzer(self, reader: Reader) -> Analyzer:
        """The analyzer of the index's terms, shared: it remembers what it made of a word."""
        assert reader.spec.sparse is not None  # or there would be no sparse index
        analyzer = reader.spec.sparse.analyzer()
        return self.resources.shared(("analyzer", analyzer.name), lambda: analyzer)

    def _of_tokens(self, query: Query, chunks: Sequence[Chunk]) -> Mapping[str, Floats]:
        [question] = self.tokens.questions([query.text])
        matches = self.tokens.of(question, chunks)
        return {"maxsim": matches.sum(axis=1), "rare": matches @ rarity(matches, at_least=MATCH)}


def trusts(dense: Floats, sparse: Floats, dense_deviation: float, sparse_deviation: float) -> tuple[float, float]:
    """How much of what tells the candidates apart is by vectors and how much by terms; their squares sum to 1.

    In proportion to the deviation of the candidates' scores in units of that over the whole collection: the unit in
    which a retriever that is blind to a question says so (`rag.retrieve.zscore`). Both 0 where nothing differs.

    Args:
        dense, sparse: (n,) scores of the candidates, NaN where there is none.
        dense_deviation, sparse_deviation: of all scores of the collection.

    >>> trusts(np.array([0.0, 6.0]), np.array([1.0, 9.0]), 1.0, 1.0)  # 3 and 4 deviations
    (0.6, 0.8)
    """
    spreads = [_spread(dense, dense_deviation), _spread(sparse, sparse_deviation)]
    total = hypot(*spreads)
    return (spreads[0] / total, spreads[1] / total) if total > 0 else (0.0, 0.0)


def _spread(scores: Floats, deviation: float) -> float:
    known = scores[np.isfinite(scores)]
    return float(known.std()) / deviation if len(known) and deviation > 0 else 0.0


def centrality(vectors: Vectors) -> Floats:
    """(n,) the mean cosine with the first three rows, the row itself left out; NaN for the only row.

    >>> centrality(np.array([[1, 0], [0.6, 0.8], [0, 1], [0, -1]], np.float32)).round(2).tolist()
    [0.3, 0.7, 0.4, -0.6]
    """
    first = min(FIRST, len(vectors))
    cosines = (vectors @ vectors[:first].T).astype(np.float64)  # (n, first), NaN where there is no vector
    counted = np.isfinite(cosines)
    counted[np.arange(first), np.arange(first)] = False
    sums = np.where(counted, cosines, 0).sum(axis=1)
    means: Floats = np.full(len(vectors), np.nan)
    np.divide(sums, counted.sum(axis=1), out=means, where=counted.any(axis=1))
    return means


def bridges(
    question: Set[str],
    titles: Sequence[Set[str]],
    texts: Sequence[Set[str]],
    weights: Mapping[str, float],
    documents: Sequence[str],
) -> Floats:
    """(n,) how much of its title the first five candidates of other documents name; the question's terms left out."""
    shares: list[float] = []
    for title, document in zip(titles, documents, strict=True):
        others = [text for text, other in zip(texts[:BRIDGES], documents, strict=False) if other != document]
        named = max((_total((title & other) - question, weights) for other in others), default=0.0)
        shares.append(named / (_total(title, weights) or 1.0))
    return np.array(shares)


def _of_terms(query: Query, chunks: Sequence[Chunk], reader: Reader, analyzer: Analyzer) -> Mapping[str, Floats]:
    asked = analyzer.terms(query.text)
    question = frozenset(asked)
    titles = [frozenset(analyzer.terms(_title(reader.document(chunk.document_id)))) for chunk in chunks]
    written = [analyzer.terms(chunk.indexed_text) for chunk in chunks]
    texts = [frozenset(terms) for terms in written]
    whole = [text | title for text, title in zip(texts, titles, strict=True)]
    weights = _rarities(question, whole)
    of_question = _total(question, weights) or 1.0
    pairs = [proximity(asked, terms, weights) for terms in written]
    return {
        "words": np.array([_total(question & terms, weights) for terms in whole]) / of_question,
        "title": np.array([_total(question & terms, weights) for terms in titles]) / of_question,
        "bridge": bridges(question, titles, texts, weights, [chunk.document_id for chunk in chunks]),
        "phrases": np.array([each.phrases for each in pairs]),
        "near": np.array([each.near for each in pairs]),
    }


def _rarities(question: Set[str], texts: Sequence[Set[str]]) -> Mapping[str, float]:
    """``ln(1 + (N - n + .5) / (n + .5))`` of every term that n of the N texts have."""
    frequency = Counter(term for terms in texts for term in terms)
    size = len(texts)
    return {term: log(1 + (size - frequency[term] + 0.5) / (frequency[term] + 0.5)) for term in {*question, *frequency}}


def _total(terms: Iterable[str], weights: Mapping[str, float]) -> float:
    """In a fixed order, so that the sum is the same to the last bit."""
    return sum(weights[term] for term in sorted(terms))


def _title(document: Document) -> str:
    """The document's title, or the first heading in it."""
    title = document.meta.get("title")
    if isinstance(title, str):
        return title
    return next((part.name for part in document.layout.parts if part.kind == "heading"), "")


def _lacking(what: str, where: str) -> ConfigError:
    return ConfigError(
        f"ask.rerank: `trained` needs {what}, the index has none",
        hint=f"set ingest.index.{where} and run `rag ingest` again, or leave `trained` out",
    )
