"""`draft`: a small model reads the prompt too, and its attention says which entries of the large one stay.

Like SpeContext (arXiv 2512.00722) in that a small model of the same vocabulary selects for the large one. Theirs is
distilled for it and selects for each head and at each step, so that what is needed can be loaded ahead; ours is any
model, and chooses once, the same for all layers and heads, by `rag.kv.compress.critic.importance` of its attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from rag.kv.compress.base import ReadPrompt, budget, highest
from rag.kv.compress.critic import importance
from rag.kv.compress.kept import KeptLayer, chosen

Look: TypeAlias = Callable[[Sequence[int], int], Tensor]
"""Given ids and where the question begins: the small model's votes (layers, heads, tokens in front), as in
`ReadPrompt`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Keep the share `keep` of the prompt's tokens, the same in all layers."""

    look: Look
    keep: float
    minimum: int = 256
    name: str = "draft"
    votes: bool = False

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        scores = importance(self.look(prompt.ids, prompt.question))
        kept = torch.cat([highest(scores, budget(prompt, self.keep, self.minimum)).cpu(), prompt.tail])
        return [chosen(keys, values, kept) for keys, values in zip(prompt.keys, prompt.values, strict=True)]
