"""`tokenselect`: all entries stay in memory, each written token attends to those that it looks at most.

TokenSelect (arXiv 2411.02886). As published: query and key products for each head, a softmax each, all heads of a layer
add up their votes, the highest tokens are read by all heads, and the choice is kept while the next query points the
same way. Left out: its paged kernels and the choice while the prompt is read, so no memory is spared, and the products
are the half of attention that it does not spare either, but where a choice is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, scaled_dot_product_attention

from rag.kv.compress.base import ReadPrompt, budget, highest
from rag.kv.compress.kept import HeadGroup, KeptLayer


@dataclass(frozen=True, slots=True)
class TokenSelect:
    """Read the share `keep` of the prompt at each step; choose anew once the cosine to the query of the last choice,
    mean over heads, falls below `similarity` (above 1: at each step)."""

    keep: float
    similarity: float = 0.9
    minimum: int = 256
    name: str = "tokenselect"
    votes: bool = False

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        count = budget(prompt, self.keep, self.minimum)
        return [
            SelectingLayer(keys, values, prompt.question, count, similarity=self.similarity)
            for keys, values in zip(prompt.keys, prompt.values, strict=True)
        ]


class SelectingLayer:
    """Chooses `count` of the first `question` entries for each query; those behind are always read."""

    def __init__(self, keys: Tensor, values: Tensor, question: int, count: int, *, similarity: float) -> None:
        self.question = question
        self.count = count
        self.similarity = similarity
        self.selections = 0
        self._all = HeadGroup(torch.arange(len(keys), device=keys.device), keys, values)
        self._selected: tuple[Tensor, Tensor] | None = None  # the query, and the positions it chose

    @property
    def entries(self) -> int:
        return self._all.entries * len(self._all.heads)

    @property
    def size(self) -> int:
        return self._all.size

    def append(self, keys: Tensor, values: Tensor) -> None:
        self._all.append(keys, values)

    def attend(self, query: Tensor, scaling: float) -> Tensor:
        always = torch.arange(self.question, self._all.entries, device=query.device)
        at = torch.cat([self._choice(query, scaling), always])
        keys, values = self._all.keys[:, at], self._all.values[:, at]
        return scaled_dot_product_attention(query, keys, values, scale=scaling)

    def _choice(self, query: Tensor, scaling: float) -> Tensor:
        if self._selected is not None:
            before, kept = self._selected
            if float(cosine_similarity(query, before, dim=-1).mean()) >= self.similarity:
                return kept
        scores = query @ self._all.keys[:, : self.question].transpose(1, 2)
        votes = torch.softmax(scores.float() * scaling, -1).sum((0, 1))
        self.selections += 1
        self._selected = (query, highest(votes, self.count))
        return self._selected[1]
