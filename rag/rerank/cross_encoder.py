"""Reranking by a model that reads question and passage together."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from rag.models.cross_encoder import PairScorer
from rag.rerank.reorder import is_sure, reordered, unchanged
from rag.rerank.windows import windows
from rag.types import Query, Ranking, Scalar

logger = logging.getLogger(__name__)

LEAST_ROOM = 32
"""Tokens that must be left for a passage beside the question; a longer question is cut."""


class CrossEncoderReranker:
    """Scores the first `depth` candidates of each ranking, all questions in one batch.

    Nogueira and Cho, arXiv 1901.04085. A chunk longer than the model's window is scored window by window, and its best
    window counts (MaxP: Dai and Callan, SIGIR 2019, arXiv 1905.09217), so nothing is cut off unseen. Rankings that the
    first stage is sure of (`rag.rerank.reorder.is_sure`) are not scored.
    """

    def __init__(
        self,
        scorer: PairScorer,
        *,
        keep: int,
        depth: int = 50,
        overlap: int = 64,
        margin: float | None = None,
        instruction: str = "",
    ) -> None:
        self.scorer = scorer
        self.keep = keep
        self.depth = depth
        self.overlap = overlap
        self.margin = margin
        self.instruction = instruction

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        pairs: list[tuple[str, str]] = []
        rows: list[tuple[int, int]] = []  # of each pair: which ranking, which candidate
        for of, (query, ranking) in enumerate(zip(queries, rankings, strict=True)):
            if is_sure(ranking, self.margin):
                continue
            question, room = fitted(self.scorer, f"{query.text} {self.instruction}".strip())
            for at, hit in enumerate(ranking.hits[: self.depth]):
                parts = passages(self.scorer, hit.chunk.indexed_text, room=room, overlap=self.overlap)
                pairs += [(question, part) for part in parts]
                rows += [(of, at)] * len(parts)
        best: list[dict[int, float]] = [{} for _ in rankings]
        for (of, at), score in zip(rows, self.scorer.score(pairs), strict=True):
            best[of][at] = float(np.fmax(score, best[of].get(at, np.nan)))  # a number, if any window has one
        counted = [0] * len(rankings)
        for of, _ in rows:
            counted[of] += 1
        return [self._one(*each) for each in zip(rankings, best, counted, strict=True)]

    def _one(self, ranking: Ranking, scores: dict[int, float], pairs: int) -> Ranking:
        if not scores:
            return unchanged(ranking, keep=self.keep, why="margin") if ranking else Ranking()
        notes: dict[str, Scalar] = {"scored": len(scores), "windows": pairs}
        return reordered(ranking, scores, keep=self.keep, origin="cross-encoder", notes=notes)


def fitted(scorer: PairScorer, question: str) -> tuple[str, int]:
    """The question, and how many tokens of a passage fit beside it.

    A question that leaves less than `LEAST_ROOM`, or less than half of a small window, is cut, with a warning in the
    log.
    """
    room, tokens = scorer.room(question), scorer.offsets(question)
    least = max(1, min(LEAST_ROOM, (room + len(tokens)) // 2))
    if room >= least:
        return question, room
    left = max(1, len(tokens) + room - least)
    logger.warning("a question of %d tokens is cut at %d to leave room for passages", len(tokens), left)
    question = question[: tokens[left - 1][1]]
    return question, max(1, scorer.room(question))


def passages(scorer: PairScorer, text: str, *, room: int, overlap: int) -> list[str]:
    """What to score of a text: all of it if it has at most `room` tokens, else windows of so many."""
    offsets = scorer.offsets(text)
    if len(offsets) <= room:
        return [text]
    return [text[start:end] for start, end in windows(offsets, size=room, overlap=min(overlap, room // 2))]
