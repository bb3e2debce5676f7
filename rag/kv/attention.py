"""Attention of a few rows, scattered or not, over a long cache; registered through transformers' attention interface.

A full mask of rows by keys makes every row pay for every key. Here ascending rows go in blocks, each over the keys up
to its last row only, so that a row pays for what it may see; a run from the first token on is the plain causal kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rag.errors import ModelError

NAME = "rag_rows"
BLOCK = 64
"""Rows a block, on a processor; measured 32 to 128 alike, 256 slower."""
_UNSUPPORTED = ("softcap", "s_aux", "position_bias", "head_mask")

Observe: TypeAlias = Callable[[int, Tensor, Tensor], None]
"""Called with a layer, positions (b,) of observed rows, and their attention (heads, b, keys) float32 over the keys from
the first; for each block of rows in turn, so that no whole map is ever held. The tensor is only valid in the call."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows [start, end) of the pass over the first `keys` keys; `mask` (rows, keys) is added, None for a single row."""

    start: int
    end: int
    keys: int
    mask: Tensor | None
    observed: bool


@dataclass(slots=True)
class RowPlan:
    """Which keys the rows of a pass see: row i stands at ``rows[i]`` and sees the keys up to there.

    `rows` ascend, on the processor. Rows from position `observed_from` on are shown to `observe`.
    """

    rows: Tensor
    observe: Observe | None = None
    observed_from: int = 0
    _blocks: list[Block] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether the rows are the sequence from its first token on, so that the plain causal kernel serves."""
        return self.observe is None and int(self.rows[-1]) + 1 == len(self.rows)

    def blocks(self, dtype: torch.dtype, device: torch.device) -> list[Block]:
        """Made at the first layer, used by all."""
        if not self._blocks:
            self._blocks = list(self._made(dtype, device))
        return self._blocks

    def _made(self, dtype: torch.dtype, device: torch.device) -> list[Block]:
        size = BLOCK if device.type == "cpu" else 8 * BLOCK
        count = len(self.rows)
        first_observed = int(torch.searchsorted(self.rows, self.observed_from)) if self.observe else count
        made = []
        for low, high, observed in ((0, first_observed, False), (first_observed, count, True)):
            for start in range(low, high, size):
                end = min(start + size, high)
                at = self.rows[start:end].to(device)
                keys = int(self.rows[end - 1]) + 1
                hidden = torch.arange(keys, device=device) > at[:, None]
                mask = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, -torch.inf)
                made.append(Block(start, end, keys, mask if end - start > 1 else None, observed))
        return made


def attend_rows(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    rows: RowPlan,
    scaling: float,
    **options: object,
) -> tuple[Tensor, None]:
    """The attention function: query (1, heads, rows, d), key and value (1, key heads, n, d); gives (1, rows, heads, d).

    Raises:
        ModelError: the model wants something of its attention that is not implemented here.
    """
    check_options(options)
    key_heads, width = key.shape[1], value.shape[-1]
    group = query.shape[1] // key_heads
    # Query heads that share a key head become a batch of that head: keys are broadcast, never repeated in memory.
    queries = query[0].view(key_heads, group, *query.shape[2:])
    keys, values = (part[0][:, None].expand(-1, group, -1, -1) for part in (key, value))
    if rows.whole:
        out = scaled_dot_product_attention(
            queries, keys[:, :, : len(rows.rows)], values[:, :, : len(rows.rows)], is_causal=True, scale=scaling
        )
        return out.flatten(0, 1).transpose(0, 1)[None].contiguous(), None
    out = query.new_empty(key_heads, group, query.shape[2], width)
    for block in rows.blocks(query.dtype, query.device):
        part = queries[:, :, block.start : block.end]
        seen, held = keys[:, :, : block.keys], values[:, :, : block.keys]
        if block.observed:
            weights = _weights(part, key[0, :, : block.keys], block.mask, scaling)
            assert rows.observe is not None
            positions = rows.rows[block.start : block.end]
            rows.observe(int(module.layer_idx), positions, weights.flatten(0, 1))  # type: ignore[arg-type]  # a number
            attended = torch.matmul(weights.to(value.dtype), held)
        else:
            attended = scaled_dot_product_attention(part, seen, held, attn_mask=block.mask, scale=scaling)
        out[:, :, block.start : block.end] = attended
    return out.flatten(0, 1).transpose(0, 1)[None].contiguous(), None


def check_options(options: Mapping[str, object]) -> None:
    """Refuse a model that wants something of its attention that ours does not do.

    Raises:
        ModelError: with its name.
    """
    unknown = [name for name in _UNSUPPORTED if options.get(name) is not None]
    if unknown:
        raise ModelError(f"chunk caches do not support a model whose attention uses {', '.join(unknown)}")


def _weights(queries: Tensor, keys: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """(key heads, group, rows, keys) float32."""
    heads, group, rows, width = queries.shape
    scores = torch.bmm(queries.reshape(heads, group * rows, width), keys.transpose(1, 2)).float()
    scores = scores.mul_(scaling).view(heads, group, rows, -1)
    if mask is not None:
        scores += mask
    return torch.softmax(scores, -1)
