"""`razor`: as `heads`, and what a streaming head drops is replaced by one entry, its mean.

RazorAttention (arXiv 2407.15891). As published: no training, and the entry that stands for those dropped has the mean
of their keys and of their values and counts as often as they are many, ``log(dropped)`` on its score. Ours: the heads
are those of `rag heads detect` (its method `copy` is nearest to the paper's echo and induction heads, found on random
repeated tokens), and how many keep everything follows from `keep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from rag.kv.compress.base import ReadPrompt
from rag.kv.compress.heads import KeyHead, split, streamed, whole_heads
from rag.kv.compress.kept import HeadGroup, KeptLayer


@dataclass(frozen=True, slots=True)
class Razor:
    """The options are those of `RetrievalHeads`."""

    ranking: tuple[KeyHead, ...]
    keep: float
    sinks: int = 16
    recent: int = 64
    minimum: int = 256
    name: str = "razor"
    votes: bool = False

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        low, high = streamed(prompt, self.sinks, self.recent)
        dropped = high - low
        whole = whole_heads(self.ranking, prompt, self.keep, streaming=len(prompt.ids) - dropped + bool(dropped))

        def stream(heads: Tensor, keys: Tensor, values: Tensor) -> HeadGroup:
            bias = torch.full((len(heads), 1), log(dropped), dtype=keys.dtype, device=keys.device)
            kept = (
                torch.cat([part[:, low:high].mean(1, keepdim=True), part[:, :low], part[:, high:]], 1)
                for part in (keys, values)
            )
            return HeadGroup(heads, *kept, bias=bias)

        return split(prompt, whole, stream)
