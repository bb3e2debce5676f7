"""From an index's rows and scores to a ranking of chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import groupby, islice
from operator import neg
from typing import TYPE_CHECKING

from rag.retrieve.row_hits import RowBackground, RowHits
from rag.types import Background, Chunk, Condition, Query, Ranking

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
    lists = [_first(hits.rows.tolist(), hits.scores.tolist(), k) for hits in found]
    fetched = iter(reader.chunks([row for rows, _ in lists for row in rows]))
    rankings: list[Ranking] = []
    for hits, (rows, scores) in zip(found, lists, strict=True):
        chunks = list(islice(fetched, len(rows)))
        if len(set(scores)) < len(scores):
            order = _ties_by_id(chunks, scores)
            chunks, rows, scores = (
                [chunks[at] for at in order],
                [rows[at] for at in order],
                [scores[at] for at in order],
            )
        kept = RowHits(chunks[:k], rows[:k], scores[:k], origin=origin, numbering=reader.numbering)
        rankings.append(Ranking(kept, _background(hits, reader)))
    return rankings


def _first(rows: list[int], scores: list[float], k: int) -> tuple[list[int], list[float]]:
    """The first `k` of falling scores, and all that tie with the last of them."""
    count = bisect_right(scores, -scores[k - 1], lo=k, key=neg) if len(scores) > k else len(scores)
    return rows[:count], scores[:count]


def _ties_by_id(chunks: Sequence[Chunk], scores: Sequence[float]) -> list[int]:
    """The places of falling scores, equal ones by chunk id."""
    runs = (list(run) for _, run in groupby(range(len(scores)), scores.__getitem__))
    # Ids are hashes of texts: only equal scores are worth making them.
    return [at for run in runs for at in (run if len(run) == 1 else sorted(run, key=lambda at: chunks[at].id))]


def _background(hits: Hits, reader: Reader) -> Background:
    def score(chunks: Sequence[Chunk]) -> list[float]:
        scores: list[float] = hits.score(reader.rows_of(chunks)).tolist()
        return scores

    return RowBackground(hits.mean, hits.deviation, hits.size, score, reader.numbering, hits.score)
