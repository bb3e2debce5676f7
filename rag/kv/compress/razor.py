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

from rag.kv.compress.base import ReadPrompt
from rag.kv.compress.heads import KeyHead, parted, streamed, whole_heads
from rag.kv.compress.kept import HeadGroup, HeadGroups, KeptLayer


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
        layers = []
        for layer, (keys, values) in enumerate(zip(prompt.keys, prompt.values, strict=True)):
            groups = []
            full, streaming = parted(whole, layer, keys)
            if len(full):
                groups.append(HeadGroup(full, keys[full], values[full]))
            if len(streaming):
                bias = torch.full((len(streaming), 1), log(dropped), dtype=keys.dtype, device=keys.device)
                kept = (
                    torch.cat([part[:, low:high].mean(1, keepdim=True), part[:, :low], part[:, high:]], 1)
                    for part in (keys[streaming], values[streaming])
                )
                groups.append(HeadGroup(streaming, *kept, bias=bias))
            layers.append(HeadGroups(groups))
        return layers
