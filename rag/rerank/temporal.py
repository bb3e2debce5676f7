"""Ranking by meaning and time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.text.years import split_off, years_in
from rag.types import Chunk, Meta, Query, Ranking, ScoredChunk

if TYPE_CHECKING:
    from rag.resources import Resources

_LEADING_YEAR = re.compile(r"\s*(\d{4})(?!\d)")


class TemporalReranker:
    """Orders by ``relevance * coefficient``: the ranking's scores, scaled to 0..1, and how well years fit the question.

    The years of a chunk are that of its metadata field `date_field` (a year, or text that begins with one, the chunk's
    own or its document's), else those that its text names. A question without a period keeps its ranking, cut at
    `keep`; the trace says which it was.

    Semantic-temporal hybrid ranking of MRAG, arXiv 2412.15540, over chunks instead of sentences and without summaries.
    Its cross-encoder's logits can be negative, where a coefficient under 1 would raise them: hence the scaling.
    """

    def __init__(self, resources: Resources, *, keep: int, date_field: str | None) -> None:
        self.resources = resources
        self.keep = keep
        self.date_field = date_field

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [self._ranked(query, ranking) for query, ranking in zip(queries, rankings, strict=True)]

    def _ranked(self, query: Query, ranking: Ranking) -> Ranking:
        _, period = split_off(query.text)
        if period is None or not ranking:
            return Ranking(ranking.hits[: self.keep], notes={"period": False})
        years = [self._years(hit.chunk) for hit in ranking]
        newest = max((year for each in years for year in each), default=None)
        fits = [period.coefficient(each, newest=newest) for each in years]
        relevance = scaled([hit.score for hit in ranking])
        scored = [
            ScoredChunk(hit.chunk, one * other, "temporal")
            for hit, one, other in zip(ranking, relevance, fits, strict=True)
        ]
        notes: Meta = {"period": True, "dated": sum(bool(each) for each in years)}
        return Ranking(Ranking.of(scored, keep=self.keep).hits, notes=notes)

    def _years(self, chunk: Chunk) -> list[int]:
        if self.date_field is None:
            return years_in(chunk.text)
        value = chunk.meta.get(self.date_field)
        if value is None:
            value = self.resources.index.reader().document(chunk.document_id).meta.get(self.date_field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [int(value)]
        leading = _LEADING_YEAR.match(value) if isinstance(value, str) else None
        return [int(leading[1])] if leading else years_in(chunk.text)


def scaled(scores: Sequence[float]) -> list[float]:
    """Scores from 0, the lowest, to 1; all 1 where they are the same.

    >>> scaled([3.0, 2.0, 1.0])
    [1.0, 0.5, 0.0]
    """
    low, high = min(scores), max(scores)
    return [1.0 if low == high else (score - low) / (high - low) for score in scores]
