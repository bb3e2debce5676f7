"""Exact moving of keys that already carry a rotary position embedding.

A rotary embedding turns pairs of a key's channels by ``position * frequency``. Turning the stored key by
``(new - old) * frequency`` gives the key at the new position; a scale that a variant puts on top (YaRN) stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Pairs: TypeAlias = Literal["halves", "interleaved"]
"""Which channels turn together: ``i`` with ``i + width / 2`` (Llama in transformers), or ``2i`` with ``2i + 1``."""


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """How one layer's keys move. `frequencies` is (width / 2,) float64 on the processor, empty where keys carry no
    position; channels from `width` on carry none either (partial rotary)."""

    frequencies: Tensor
    pairs: Pairs = "halves"

    @property
    def width(self) -> int:
        return 2 * self.frequencies.numel()

    def same(self, other: Shift) -> bool:
        return self.pairs == other.pairs and torch.equal(self.frequencies, other.frequencies)

    def into(self, out: Tensor, keys: Tensor, delta: int) -> None:
        """Write `keys`, moved by `delta` positions, to `out`; both (..., tokens, channels), any float types.

        Rotated in float32 or better, rounded once.
        """
        if delta == 0 or self.width == 0:
            out.copy_(keys)
            return
        first, second = self._halves(keys)
        to_first, to_second = self._halves(out)
        work = torch.float64 if keys.dtype == torch.float64 else torch.float32
        angles = delta * self.frequencies
        cos, sin = (part.to(keys.device, work) for part in (angles.cos(), angles.sin()))
        first, second = first.to(work), second.to(work)
        to_first.copy_((first * cos).addcmul_(second, sin, value=-1))
        to_second.copy_((second * cos).addcmul_(first, sin))
        if self.width < keys.shape[-1]:
            out[..., self.width :].copy_(keys[..., self.width :])

    def moved(self, keys: Tensor, delta: int) -> Tensor:
        """A moved copy."""
        out = torch.empty_like(keys)
        self.into(out, keys, delta)
        return out

    def _halves(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        turning = keys[..., : self.width]
        if self.pairs == "interleaved":
            return turning[..., 0::2], turning[..., 1::2]
        return turning[..., : self.width // 2], turning[..., self.width // 2 :]


STAYS = Shift(torch.empty(0, dtype=torch.float64))
"""Keys without a position."""
