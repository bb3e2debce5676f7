"""How much the question attends to each token in front of it."""

from __future__ import annotations

import torch
from torch import Tensor


class Votes:
    """Takes the attention of the pass that reads the question, layer by layer; sums what the first `tokens` get."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._layers: dict[int, Tensor] = {}

    def take(self, layer: int, attention: Tensor) -> None:
        """`attention` (heads, rows, keys) float32; only valid in the call."""
        self._layers[layer] = attention[:, :, : self.tokens].sum(1)

    def all(self) -> Tensor:
        """(layers, heads, tokens) float32."""
        return torch.stack([self._layers[layer] for layer in sorted(self._layers)])
