"""`snapkv`: each key head keeps the entries that the question attends to most, with their neighbours.

SnapKV (arXiv 2404.14469). As published: the votes of the last tokens, summed, pooled over neighbours so that what is
kept is not torn apart, the highest for each head and layer. Ours: the window is the question instead of a fixed number
of tokens, and the query heads that share a key head vote together, since they share its entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from rag.kv.compress.base import ReadPrompt, budget, highest
from rag.kv.compress.kept import KeptLayer, chosen


@dataclass(frozen=True, slots=True)
class SnapKV:
    """Keep the share `keep` of each head's entries; each brings `neighbours` along on either side."""

    keep: float
    neighbours: int = 3
    minimum: int = 256
    name: str = "snapkv"
    votes: bool = True

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        assert prompt.votes is not None
        heads, count = len(prompt.keys[0]), budget(prompt, self.keep, self.minimum)
        tail = prompt.tail.expand(heads, -1)
        layers = []
        for keys, values, votes in zip(prompt.keys, prompt.values, prompt.votes, strict=True):
            grouped = votes.view(heads, -1, votes.shape[1]).mean(1)
            layers.append(chosen(keys, values, torch.cat([highest(self._pooled(grouped), count), tail], 1)))
        return layers

    def _pooled(self, votes: Tensor) -> Tensor:
        return max_pool1d(votes, 2 * self.neighbours + 1, stride=1, padding=self.neighbours)
