"""`critic`: one choice for all heads, by the attention that the question pays, layer by layer scaled and added up.

Like CRITIC (arXiv 2504.01281, app. A) importance is scaled to [0, 1] in each layer, and a prompt keeps some entries in
any case. Of its three terms the attention alone, read as attention received (as printed the sum is the same for all
tokens): the entropy needs the attention of every token, which reused chunks and fast kernels do not give, and the
gradient a backward pass a token. Ours: only the question's attention counts, layers choose together, and the share is
fixed where the paper lets it follow the memory in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rag.kv.compress.base import ReadPrompt, budget, highest
from rag.kv.compress.kept import KeptLayer, chosen


@dataclass(frozen=True, slots=True)
class Critic:
    """Keep the share `keep` of the prompt's tokens, the same in all layers."""

    keep: float
    minimum: int = 256
    name: str = "critic"
    votes: bool = True

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        assert prompt.votes is not None
        best = highest(importance(prompt.votes), budget(prompt, self.keep, self.minimum))
        kept = torch.cat([best, prompt.tail])
        return [chosen(keys, values, kept) for keys, values in zip(prompt.keys, prompt.values, strict=True)]


def importance(votes: Tensor) -> Tensor:
    """(tokens,) from votes (layers, heads, tokens): each layer's sum over heads scaled to [0, 1], then added up.

    >>> importance(torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 2.0, 2.0]]])).tolist()
    [1.0, 0.5, 1.0]
    """
    received = votes.sum(1)
    low, high = (found.values for found in (received.min(1, keepdim=True), received.max(1, keepdim=True)))
    return ((received - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)).sum(0)
