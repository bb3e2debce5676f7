"""The keys and values of one chunk, and the precisions they may be kept in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Precision: TypeAlias = Literal["model", "bf16", "int8"]
"""How caches are kept: as the model computes them (lossless), or rounded."""
TENSORS = ("keys", "values", "key_scales", "value_scales", "scores")


@dataclass(frozen=True, slots=True, eq=False)
class ChunkCache:
    """keys and values (layers, key heads, tokens, channels); the first token stood at position `base`.

    Where they are int8, each has scales to be multiplied by: keys one a channel, (layers, heads, 1, channels), since
    some channels are large throughout; values one a token, (layers, heads, tokens, 1). `scores` (tokens,) float32 is
    how much each token attended to the chunks in front, by its strongest head, where that was recorded.
    """

    keys: Tensor
    values: Tensor
    base: int
    key_scales: Tensor | None = None
    value_scales: Tensor | None = None
    scores: Tensor | None = None

    @property
    def tokens(self) -> int:
        return int(self.keys.shape[2])

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(part.numel() * part.element_size() for part in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """By field name, those that are there."""
        named = {name: getattr(self, name) for name in TENSORS}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def slice(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of tokens [start, end) in a float type."""
        keys, values = self.keys[:, :, start:end], self.values[:, :, start:end]
        if self.key_scales is None or self.value_scales is None:
            return keys, values
        return keys * self.key_scales, values * self.value_scales[:, :, start:end]

    def to(self, device: torch.device) -> ChunkCache:
        """On that device; itself if it is there."""
        if self.keys.device == device:
            return self
        return ChunkCache(base=self.base, **{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def copied(self) -> ChunkCache:
        return ChunkCache(base=self.base, **{name: tensor.clone() for name, tensor in self.tensors().items()})

    def scored(self, scores: Tensor) -> ChunkCache:
        """With the attention of its tokens to the chunks in front."""
        return replace(self, scores=scores)

    def rounded(self, precision: Precision) -> ChunkCache:
        """In the precision it is to be kept in.

        int8 is symmetric, rounded to the nearest: off by at most half a scale, which is the largest magnitude of the
        channel (keys) or token (values) over 127.
        """
        if precision == "model" or self.key_scales is not None:
            return self
        if precision == "bf16":
            return replace(self, keys=self.keys.to(torch.bfloat16), values=self.values.to(torch.bfloat16))
        keys, key_scales = _int8(self.keys, dim=2)
        values, value_scales = _int8(self.values, dim=3)
        return replace(self, keys=keys, values=values, key_scales=key_scales, value_scales=value_scales)


def _int8(tensor: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    wide = tensor.float()
    scales = wide.abs().amax(dim, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (wide / scales).round_().to(torch.int8), scales
