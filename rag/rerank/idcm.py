"""A cascade within the chunk: a cheap look at every window, a dear one at the best few (IDCM)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rag.models.cross_encoder import PairScorer
from rag.rerank.cross_encoder import fitted
from rag.rerank.reorder import is_sure, reordered, unchanged
from rag.text.analyze import Analyzer
from rag.types import Query, Ranking, Scalar

if TYPE_CHECKING:
    from rag.resources import Resources

K1, B = 1.5, 0.75  # the sparse index's defaults


class WindowScorer(Protocol):
    """The cheap look."""

    def score(self, question: str, windows: Sequence[str]) -> Sequence[float]:
        """One score for each window of all candidates of one question, higher is better; zero says nothing special."""
        ...


class IdcmReranker:
    """Intra-document cascading (Hofstätter et al., arXiv 2105.09816), without its trained first model.

    Each candidate is cut into windows of `size` tokens and `overlap` more on either side. The `windows` with the best
    cheap scores go to the cross-encoder; the candidate's score is the sum of `weights` times their scores, best first.
    With one weight of 1 that is the best window (MaxP). It pays where chunks are long: of a chunk with no more windows
    than `windows`, all are scored.
    """

    def __init__(
        self,
        scorer: PairScorer,
        cheap: WindowScorer,
        *,
        keep: int,
        depth: int = 50,
        windows: int = 4,
        size: int = 50,
        overlap: int = 7,
        weights: Sequence[float] = (1.0,),
        margin: float | None = None,
    ) -> None:
        self.scorer = scorer
        self.cheap = cheap
        self.keep = keep
        self.depth = depth
        self.windows = windows
        self.size = size
        self.overlap = overlap
        self.weights = weights
        self.margin = margin

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [self._one(query, ranking) for query, ranking in zip(queries, rankings, strict=True)]

    def _one(self, query: Query, ranking: Ranking) -> Ranking:
        if is_sure(ranking, self.margin):
            return unchanged(ranking, keep=self.keep, why="margin")
        texts = [self._cut(hit.chunk.indexed_text) for hit in ranking.hits[: self.depth]]
        windows = [(of, window) for of, parts in enumerate(texts) for window in parts]
        cheap = self.cheap.score(query.text, [window for _, window in windows])
        taken: list[tuple[int, str]] = []
        for of in range(len(texts)):
            mine = [at for at, (owner, _) in enumerate(windows) if owner == of]
            taken += [windows[mine[at]] for at in best_windows([cheap[at] for at in mine], self.windows)]
        question, _ = fitted(self.scorer, query.text)
        scores = self.scorer.score([(question, window) for _, window in taken])
        found: dict[int, list[float]] = {of: [] for of in range(len(texts))}
        for (of, _), score in zip(taken, scores, strict=True):
            found[of].append(float(score))
        totals = {of: weighted(values, self.weights) for of, values in found.items()}
        notes: dict[str, Scalar] = {"scored": len(texts), "windows": len(windows), "windows_scored": len(taken)}
        return reordered(ranking, totals, keep=self.keep, origin="idcm", notes=notes)

    def _cut(self, text: str) -> list[str]:
        offsets = self.scorer.offsets(text)
        return [
            text[offsets[start][0] : offsets[end - 1][1]]
            for start, end in cores(len(offsets), size=self.size, overlap=self.overlap)
        ]


def cores(count: int, *, size: int, overlap: int) -> list[tuple[int, int]]:
    """Windows over so many tokens: `size` of them, and `overlap` more on either side where there are any.

    >>> cores(120, size=50, overlap=7)
    [(0, 57), (43, 107), (93, 120)]
    """
    return [(max(0, start - overlap), min(count, start + size + overlap)) for start in range(0, count, size)]


def best_windows(scores: Sequence[float], count: int) -> list[int]:
    """The positions of the `count` best scores in their order of place; equal ones by place, no number last.

    >>> best_windows([1, 5, 3, 4, 2], 2)
    [1, 3]
    """
    order = sorted(range(len(scores)), key=lambda at: (math.isnan(scores[at]), -scores[at], at))
    return sorted(order[:count])


def weighted(scores: Sequence[float], weights: Sequence[float]) -> float:
    """The sum of weights times scores, best first; NaN where there is no finite score.

    >>> round(weighted([0.2, 0.9], [0.7, 0.3]), 6)
    0.69
    """
    finite = sorted((score for score in scores if math.isfinite(score)), reverse=True)
    if not finite:
        return math.nan
    return sum(score * weight for score, weight in zip(finite, weights, strict=False))


class WordWindows:
    """BM25 of windows, with the index's analyzer; a term's document frequency is among the candidates' windows."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def score(self, question: str, windows: Sequence[str]) -> list[float]:
        sparse = self.resources.index.spec.sparse
        analyzer = sparse.analyzer() if sparse is not None else Analyzer()
        asked = Counter(analyzer.terms(question))
        return bm25(asked, [Counter(analyzer.terms(window)) for window in windows])


class VectorWindows:
    """The cosine of question and window, by the pipeline's embedder."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def score(self, question: str, windows: Sequence[str]) -> list[float]:
        if not windows:
            return []
        embedder = self.resources.embedder
        vectors = embedder.embed_documents(windows)
        scores: list[float] = (vectors @ embedder.embed_queries([question])[0]).tolist()
        return scores


def bm25(asked: Counter[str], texts: Sequence[Counter[str]]) -> list[float]:
    """BM25 of texts as bags of terms, each a document (`rag.index.bm25`, variant ``lucene``)."""
    frequency = Counter(term for text in texts for term in text)
    size = len(texts)
    weights = {term: math.log(1 + (size - frequency[term] + 0.5) / (frequency[term] + 0.5)) for term in asked}
    average = sum(text.total() for text in texts) / max(1, size) or 1.0

    def weight(term: str, text: Counter[str]) -> float:
        return asked[term] * weights[term] * text[term] / (text[term] + K1 * (1 - B + B * text.total() / average))

    return [sum(weight(term, text) for term in sorted(asked.keys() & text.keys())) for text in texts]
