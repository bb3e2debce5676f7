"""Ranking by meaning and time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.errors import ConfigError
from rag.text.years import Period, split_off, years_in
from rag.types import Chunk, Query, Ranking, ScoredChunk

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources

_LEADING_YEAR = re.compile(r"\s*(\d{4})(?!\d)")


class TemporalReranker:
    """Orders by ``max(0, cosine) * coefficient``: nearness to the question without its period, and how well years fit.

    The years of a chunk are that of its metadata field `date_field` (a year, or text that begins with one, the chunk's
    own or its document's), else those that its text names. A question without a period keeps its ranking, cut at
    `keep`; the trace says which it was.

    Semantic-temporal hybrid ranking of MRAG, arXiv 2412.15540, over chunks instead of sentences and without summaries;
    the bi-encoder's cosine stands for its cross-encoder, whose negative logits a coefficient under 1 would raise.

    Raises:
        ConfigError: the index holds no vectors.
    """

    def __init__(self, resources: Resources, *, keep: int, date_field: str | None) -> None:
        self.resources = resources
        self.keep = keep
        self.date_field = date_field

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [self._ranked(query, ranking) for query, ranking in zip(queries, rankings, strict=True)]

    def _ranked(self, query: Query, ranking: Ranking) -> Ranking:
        rest, period = split_off(query.text)
        if period is None or not ranking:
            return Ranking(ranking.hits[: self.keep], notes={"period": False})
        reader = self.resources.index.reader()
        if reader.dense is None:
            raise ConfigError(
                "ask.rerank: `temporal` compares vectors, the index has none",
                hint="set ingest.index.dense and run `rag ingest` again, or leave `temporal` out",
            )
        chunks = [hit.chunk for hit in ranking]
        cosines = reader.vectors(reader.rows_of(chunks)) @ self.resources.embedder.embed_queries([rest])[0]
        years = [self._years(chunk, reader) for chunk in chunks]
        newest = max((year for each in years for year in each), default=None)
        scored = [
            ScoredChunk(chunk, score(float(cosine), period, of_chunk, newest=newest), "temporal")
            for chunk, cosine, of_chunk in zip(chunks, cosines, years, strict=True)
        ]
        dated = sum(bool(of_chunk) for of_chunk in years)
        return Ranking(Ranking.of(scored, keep=self.keep).hits, notes={"period": True, "dated": dated})

    def _years(self, chunk: Chunk, reader: Reader) -> list[int]:
        if self.date_field is None:
            return years_in(chunk.text)
        value = chunk.meta.get(self.date_field, reader.document(chunk.document_id).meta.get(self.date_field))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [int(value)]
        leading = _LEADING_YEAR.match(value) if isinstance(value, str) else None
        return [int(leading[1])] if leading else years_in(chunk.text)


def score(cosine: float, period: Period, years: Sequence[int], *, newest: int | None = None) -> float:
    """``max(0, cosine)`` times how well the years fit.

    >>> score(0.5, Period(None, 2019), [1994])
    0.4
    """
    return max(0.0, cosine) * period.coefficient(years, newest=newest)
