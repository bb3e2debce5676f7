"""Pseudo-relevance feedback by features: what the first chunks were said to be about, searched with the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.query.base import Rewritten
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.base import Hits
    from rag.index.reader import Reader
    from rag.resources import Resources


class PrfFeatures:
    """The question beside itself with the features of the `depth` chunks it finds first, which counts `weight`.

    Features are metadata that enrichment wrote at ingest (`fields`): no model is asked at query time. The first search
    is dense where the index has vectors, else sparse. Feedback drifts where the first search finds nothing good: there
    is none unless the best score is `least` standard deviations of all scores above their mean.

    After PromptPRF, arXiv 2503.14887: there the features and the question go into the prompt of a model that embeds;
    here they make one text, which any retriever searches for.
    """

    def __init__(self, resources: Resources, *, fields: Sequence[str], depth: int, weight: float, least: float) -> None:
        self.resources = resources
        self.fields = fields
        self.depth = depth
        self.weight = weight
        self.least = least

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        reader = self.resources.index.reader()
        return [self._rewritten(query, reader) for query in queries]

    def _rewritten(self, query: Query, reader: Reader) -> Rewritten:
        hits = self._first(query, reader)
        if hits is None or not len(hits.rows) or hits.scores[0] - hits.mean < self.least * hits.deviation:
            return Rewritten((query,), {"feedback": "none: the first search found nothing good"})
        chunks = reader.chunks(hits.rows[: self.depth].tolist())
        features = " ".join(dict.fromkeys(text for chunk in chunks for text in self._features(chunk)))
        if not features:  # of an index whose enrichment wrote other fields, or none
            return Rewritten((query,), {"feedback": f"none: the chunks have no {' or '.join(self.fields)}"})
        return Rewritten(
            (query, query.rephrased(f"{query.text} {features}", weight=self.weight)), {"feedback": len(chunks)}
        )

    def _first(self, query: Query, reader: Reader) -> Hits | None:
        allowed = reader.allowed(query.filter, query.principals)
        if reader.dense is not None:
            vectors = self.resources.embedder.embed_queries([query.text])
            return reader.dense.search(vectors, k=self.depth, allowed=allowed)[0]
        return None if reader.sparse is None else reader.sparse.search([query.text], k=self.depth, allowed=allowed)[0]

    def _features(self, chunk: Chunk) -> list[str]:
        return [value for field in self.fields if isinstance(value := chunk.meta.get(field), str)]
