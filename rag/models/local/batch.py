"""Replies that are written together: one padded batch, one cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from rag.kv.compress.kept import decoding
from rag.kv.splice import ROOM, SplicedLayer


@dataclass(slots=True)
class Row:
    """One reply in the batch: the token to read next, and how many stand before it."""

    token: int
    position: int


class Batch:
    """Rows of different lengths in one cache, padded at the left.

    A row that joins is put beside the others, one that leaves takes its columns along; a lone row is never copied.
    """

    def __init__(self, model: Callable[[], PreTrainedModel]) -> None:
        self.model = model
        self.rows: list[Row] = []
        self.cache: Cache | None = None

    def join(self, row: Row, cache: Cache) -> None:
        """Add a row whose prompt was read into `cache`."""
        self.cache = cache if self.cache is None else _beside(self.cache, cache)
        self.rows.append(row)

    def keep(self, kept: Sequence[int]) -> None:
        """Let all rows go but those at `kept`."""
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[at] for at in kept]
        if not self.rows or self.cache is None:
            self.cache = None
            return
        longest = max(row.position for row in self.rows)
        rows = torch.tensor(list(kept))
        self.cache = _of(
            [(keys[rows, :, -longest:], values[rows, :, -longest:]) for keys, values in _parts(self.cache)]
        )

    def step(self) -> Tensor:
        """Read each row's token; the logits of what follows, (rows, vocabulary)."""
        model = self.model()
        longest = 1 + max(row.position for row in self.rows)
        read = torch.tensor([1 + row.position for row in self.rows])
        mask = None
        if int(read.min()) < longest:
            mask = torch.arange(longest)[None] >= (longest - read)[:, None]
            mask = mask.long().to(model.device)
        with torch.no_grad(), decoding(model, self.cache) as options:
            out = model(
                input_ids=torch.tensor([[row.token] for row in self.rows]).to(model.device),
                attention_mask=mask,
                position_ids=(read - 1)[:, None].to(model.device),
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
                **options,
            )
        for row in self.rows:
            row.position += 1
        logits: Tensor = out.logits[:, -1]
        return logits


def _parts(cache: Cache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer; rows are only put together where each layer is attention."""
    layers = cast("list[DynamicLayer]", cache.layers)
    return [(cast("Tensor", layer.keys), cast("Tensor", layer.values)) for layer in layers]


def _of(parts: Sequence[tuple[Tensor, Tensor]]) -> Cache:
    """A cache with room at its end, so that a token costs no copy of all before it."""
    return Cache(layers=[_layer(keys, values) for keys, values in parts])


def _layer(keys: Tensor, values: Tensor) -> SplicedLayer:
    length = keys.shape[2]

    def roomy(part: Tensor) -> Tensor:
        buffer = part.new_empty(*part.shape[:2], length + ROOM, part.shape[3])
        buffer[:, :, :length] = part
        return buffer

    return SplicedLayer(roomy(keys), roomy(values), length)


def _beside(one: Cache, other: Cache) -> Cache:
    return _of(
        [
            (_stacked(keys, more_keys), _stacked(values, more_values))
            for (keys, values), (more_keys, more_values) in zip(_parts(one), _parts(other), strict=True)
        ]
    )


def _stacked(one: Tensor, other: Tensor) -> Tensor:
    """Rows of both, the shorter ones padded at the left: (rows, heads, tokens, channels)."""
    longest = max(one.shape[2], other.shape[2])
    return torch.cat([pad(part, (0, 0, longest - part.shape[2], 0)) for part in (one, other)])
