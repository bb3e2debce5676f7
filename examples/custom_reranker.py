"""A reranker in one file: some kinds of file count more than others. Registered by name, used as from YAML.

python examples/custom_reranker.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from rag import Pipeline, Query, Ranking, ScoredChunk
from rag.registry import register
from rag.rerank.base import Reranker
from rag.rerank.specs import RerankerSpec
from rag.resources import Resources

HANDBOOK = Path(__file__).parent / "handbook"


class TrustReranker:
    """Adds `bonus` to the score of each chunk of a file with one of `suffixes`; the best `keep` stay."""

    def __init__(self, *, keep: int, suffixes: tuple[str, ...], bonus: float) -> None:
        self.keep = keep
        self.suffixes = suffixes
        self.bonus = bonus

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [Ranking.of([self._scored(hit) for hit in ranking], keep=self.keep) for ranking in rankings]

    def _scored(self, hit: ScoredChunk) -> ScoredChunk:
        trusted = hit.chunk.document_id.endswith(self.suffixes)
        return replace(hit, score=hit.score + self.bonus * trusted, origin="trust")


class TrustSpec(RerankerSpec):
    """Prefer some kinds of file."""

    use: Literal["trust"] = "trust"
    suffixes: tuple[str, ...]
    """Such as [".pdf", ".docx"]."""
    bonus: float = Field(1.0, ge=0)
    """How much they count more, in units of the fused score."""

    def build(self, resources: Resources) -> Reranker:
        return TrustReranker(keep=self.keep, suffixes=self.suffixes, bonus=self.bonus)


def main() -> None:
    register("rerank", TrustSpec)  # a package does it with an entry point in the group `rag.rerank`
    with tempfile.TemporaryDirectory() as folder:
        where = [f"ingest.load=[{{use: files, root: '{HANDBOOK}'}}]", f"ingest.index.path='{folder}/index'"]
        for rerank in ("[]", "[{use: trust, suffixes: ['.docx'], bonus: 4}]"):
            with Pipeline.from_yaml("hybrid", overrides=[*where, f"ask.rerank={rerank}"]) as pipeline:
                pipeline.ingest()  # the second time nothing has changed
                hits = pipeline.search("When do I get my hardware keys?").ranking.hits[:3]
                print(f"rerank: {rerank}")
                for rank, hit in enumerate(hits, 1):
                    print(f"  {rank}. {hit.score:6.3f}  {hit.chunk.document_id}")


if __name__ == "__main__":
    main()
