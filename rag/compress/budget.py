"""How much may be kept, and which sentences make the most of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.types import Chunk, Meta

if TYPE_CHECKING:
    from rag.compress.passages import Sentence
    from rag.embed.base import Tokenizer

Scores: TypeAlias = NDArray[np.float64]
Redundant: TypeAlias = Callable[[int, Sequence[int]], bool]
"""Whether the sentence at a position says nothing new beside those at the positions already taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The score of every sentence, and the positions of those to keep, at least one."""

    scores: Scores
    kept: Set[int]
    notes: Meta = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `tokens` of the embedder and at most `ratio` of the characters of the chunks; ``None`` is no limit."""

    tokens: int | None = 1200
    ratio: float | None = None

    def select(
        self,
        scores: Scores,
        sentences: Sequence[Sentence],
        chunks: Sequence[Chunk],
        tokenizer: Tokenizer,
        *,
        redundant: Redundant | None = None,
    ) -> Selection:
        """Take sentences best first, equal scores in their order, each that fits and is not `redundant`.

        What is left goes to the sentences before and after those taken. Where not even the best sentence fits, it is
        kept whole and alone, and ``over_budget`` noted.

        By score alone, not by score for the length: an answer stands in one long sentence rather than in the three
        short ones that would fit instead. The exact knapsack over the same scores keeps fewer of the sentences that
        answer, and the same ones where the scores are sharpened until the best outweighs all (docs/compression.md).

        Args:
            redundant: what else is left out than the text of a sentence already taken.
        """
        costs, left = self._costs(sentences, chunks, tokenizer)
        order = np.argsort(-scores, kind="stable").tolist()
        if (costs[order[0]] > left).any():
            return Selection(scores, {order[0]}, {"over_budget": True})
        taken: list[int] = []
        texts: set[str] = set()
        for at in order:
            says_nothing_new = sentences[at].text in texts or (redundant is not None and redundant(at, taken))
            if (costs[at] <= left).all() and not says_nothing_new:
                taken.append(at)
                texts.add(sentences[at].text)
                left -= costs[at]
        kept = set(taken)
        for at in taken:
            for beside in (at - 1, at + 1):
                inside = 0 <= beside < len(sentences) and sentences[beside].chunk == sentences[at].chunk
                if inside and beside not in kept and (costs[beside] <= left).all():
                    kept.add(beside)
                    left -= costs[beside]
        return Selection(scores, kept)

    def _costs(
        self, sentences: Sequence[Sentence], chunks: Sequence[Chunk], tokenizer: Tokenizer
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each sentence costs, (n, limits), and the limits."""
        texts = [sentence.text for sentence in sentences]
        columns: list[Sequence[int]] = []
        limits: list[float] = []
        if self.tokens is not None:
            columns.append(tokenizer.count(texts))
            limits.append(self.tokens)
        if self.ratio is not None:
            columns.append([len(text) for text in texts])
            limits.append(self.ratio * sum(len(chunk.text) for chunk in chunks))
        return np.array(columns, np.float64).reshape(len(columns), len(texts)).T, np.array(limits, np.float64)


def near(vectors: NDArray[np.float32], *, cosine: float) -> Redundant:
    """Whether a sentence's vector is nearer than `cosine` to one already taken."""
    return lambda at, taken: bool(taken) and float((vectors[list(taken)] @ vectors[at]).max()) > cosine
