"""`heads`: heads that retrieve keep all entries, the others the first ones and the latest.

DuoAttention (arXiv 2410.10819) splits key heads into those that retrieve and those that stream, whose cache is the
attention sinks and a recent window. Ours: the split is read off detected heads instead of trained gates, a key head
counts by its best query head, heads are split where the prompt ends, and the window does not move on while a reply is
written: all of that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import TypeAlias

import torch
from torch import Tensor

from rag.kv.compress.base import ReadPrompt
from rag.kv.compress.kept import HeadGroup, HeadGroups, KeptLayer

KeyHead: TypeAlias = tuple[int, int]
"""A layer and a key head of it, both from 0."""


@dataclass(frozen=True, slots=True)
class RetrievalHeads:
    """As many of `ranking`, all key heads with the best first, keep everything as `keep` of all entries allows.

    The others keep `sinks` entries at the start, and at the end `recent` or the question, whichever is longer; a `keep`
    below that is not reached.
    """

    ranking: tuple[KeyHead, ...]
    keep: float
    sinks: int = 16
    recent: int = 64
    minimum: int = 256
    name: str = "heads"
    votes: bool = False

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        low, high = streamed(prompt, self.sinks, self.recent)
        whole = whole_heads(self.ranking, prompt, self.keep, streaming=len(prompt.ids) - (high - low))
        ends = torch.cat([torch.arange(low), torch.arange(high, len(prompt.ids))]).to(prompt.keys[0].device)
        return split(prompt, whole, lambda heads, keys, values: HeadGroup(heads, keys[:, ends], values[:, ends]))


def streamed(prompt: ReadPrompt, sinks: int, recent: int) -> tuple[int, int]:
    """The range of positions that a streaming head drops; empty where sinks and window meet."""
    high = len(prompt.ids) - max(recent, len(prompt.tail))
    return min(sinks, max(0, high)), max(0, high)


def whole_heads(ranking: Sequence[KeyHead], prompt: ReadPrompt, keep: float, *, streaming: int) -> frozenset[KeyHead]:
    """The key heads that keep everything where the others keep `streaming` entries each."""
    tokens, heads = len(prompt.ids), len(ranking)
    if streaming >= tokens:
        return frozenset(ranking)
    return frozenset(ranking[: max(0, floor(heads * (keep * tokens - streaming) / (tokens - streaming)))])


def split(
    prompt: ReadPrompt, whole: frozenset[KeyHead], stream: Callable[[Tensor, Tensor, Tensor], HeadGroup]
) -> list[KeptLayer]:
    """Layers whose key heads of `whole` keep everything; `stream` says what the others keep, of which it is given the
    indices, keys and values."""
    layers: list[KeptLayer] = []
    for layer, (keys, values) in enumerate(zip(prompt.keys, prompt.values, strict=True)):
        full, streaming = _parted(whole, layer, keys)
        groups = [HeadGroup(full, keys[full], values[full])] if len(full) else []
        if len(streaming):
            groups.append(stream(streaming, keys[streaming], values[streaming]))
        layers.append(HeadGroups(groups))
    return layers


def _parted(whole: frozenset[KeyHead], layer: int, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The indices of a layer's key heads that keep everything, and of the others."""
    retrieves = torch.tensor([(layer, head) in whole for head in range(len(keys))])
    return tuple(at.nonzero().flatten().to(keys.device) for at in (retrieves, ~retrieves))  # type: ignore[return-value]  # two
