"""From an index's rows and scores to a ranking of chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from rag.types import Background, Chunk, Condition, Query, Ranking, ScoredChunk

if TYPE_CHECKING:
    from rag.index.base import Hits, Mask
    from rag.index.reader import Reader

MARGIN = 32
"""How many rows beyond `k` are asked for, so that equal scores at the border are cut by chunk id."""

Search = Callable[[Sequence[int], "Mask | None"], "Sequence[Hits]"]


def retrieve(queries: Sequence[Query], reader: Reader, search: Search, *, k: int, origin: str) -> list[Ranking]:
    """The `k` best chunks of each query; `search` is called once for all queries that may see the same rows.

    Args:
        search: takes positions in `queries` and the rows they may see, gives one `Hits` for each.
    """
    groups: dict[tuple[Condition | None, frozenset[str] | None], list[int]] = defaultdict(list)
    for at, query in enumerate(queries):
        groups[query.filter, query.principals].append(at)
    found: dict[int, Hits] = {}
    for (condition, principals), positions in groups.items():
        hits = search(positions, reader.allowed(condition, principals))
        found.update(zip(positions, hits, strict=True))
    return _rankings([found[at] for at in range(len(queries))], reader, k=k, origin=origin)


def nothing(queries: Sequence[Query]) -> list[Ranking]:
    """What an index without chunks gives: an empty ranking of an empty collection for each query."""
    background = Background(mean=0.0, deviation=0.0, size=0, score=lambda chunks: [0.0] * len(chunks))
    return [Ranking((), background) for _ in queries]


def _rankings(found: Sequence[Hits], reader: Reader, *, k: int, origin: str) -> list[Ranking]:
    # Beyond the first k only rows that tie with the k-th can move up: nothing else is fetched.
    counts = [
        len(hits.rows) if len(hits.rows) <= k else int(np.count_nonzero(hits.scores >= hits.scores[k - 1]))
        for hits in found
    ]
    rows = [row for hits, count in zip(found, counts, strict=True) for row in hits.rows[:count].tolist()]
    chunks = iter(reader.chunks(rows))
    rankings: list[Ranking] = []
    for hits, count in zip(found, counts, strict=True):
        scores = hits.scores[:count].tolist()
        scored = [ScoredChunk(chunk, score, origin) for chunk, score in zip(islice(chunks, count), scores, strict=True)]
        rankings.append(Ranking.of(scored, keep=k, background=_background(hits, reader)))
    return rankings


def _background(hits: Hits, reader: Reader) -> Background:
    def score(chunks: Sequence[Chunk]) -> list[float]:
        scores: list[float] = hits.score(reader.rows_of(chunks)).tolist()
        return scores

    return Background(mean=hits.mean, deviation=hits.deviation, size=hits.size, score=score)
