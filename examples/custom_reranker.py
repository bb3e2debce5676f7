"""A reranker in one file: newer documents first, where the scores are close. Registered by name, used from YAML.

python examples/custom_reranker.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from rag import Pipeline, Query, Ranking
from rag.registry import register
from rag.rerank.base import Reranker
from rag.rerank.specs import RerankerSpec
from rag.resources import Resources

HANDBOOK = Path(__file__).parent / "handbook"


class RecentReranker:
    """Adds `weight` to the score of a chunk whose document was modified on or after `since`."""

    def __init__(self, *, since: str, weight: float) -> None:
        self.since = since
        self.weight = weight

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [
            Ranking.of(
                [
                    replace(hit, score=hit.score + self._bonus(str(hit.chunk.meta.get("modified", ""))))
                    for hit in ranking
                ]
            )
            for ranking in rankings
        ]

    def _bonus(self, modified: str) -> float:
        return self.weight if modified >= self.since else 0.0


class RecentSpec(RerankerSpec):
    """Prefer documents that were modified lately."""

    use: Literal["recent"] = "recent"
    since: str = "2024-01-01"
    """An ISO 8601 date."""
    weight: float = Field(0.5, ge=0)
    """How much newer counts, in units of the fused score."""

    def build(self, resources: Resources) -> Reranker:
        return RecentReranker(since=self.since, weight=self.weight)


def main() -> None:
    register("rerank", RecentSpec)  # a package does it with the entry point group `rag.rerank`
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"ingest.load=[{{use: files, root: '{HANDBOOK}'}}]",
            f"ingest.index.path='{folder}/index'",
            "ask.rerank=[{use: recent, since: '2020-01-01'}]",
        ]
        with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
            pipeline.ingest()
            for record in pipeline.ask("Is a lost laptop my fault?").trace.stages:
                print(f"{record.stage:<9} {record.use:<12} {record.taken:>4} -> {record.given}")


if __name__ == "__main__":
    main()
