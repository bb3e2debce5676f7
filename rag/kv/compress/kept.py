"""A cache whose heads keep entries of their own, as many as each wants, and the attention over it.

Heads that keep equally many lie together; nothing is padded or masked, so what is dropped takes no memory. Through
transformers' cache and attention interfaces; the model's own attention is put back after each call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from rag.kv.attention import check_options

NAME = "rag_kept"
ROOM = 64
"""Tokens that can be appended before buffers must grow."""


class HeadGroup:
    """Key heads that keep the same number of entries: keys and values (heads, entries, channels).

    `bias` (heads, entries) is added to the scores of the entries it was made with; ``None`` adds nothing.
    """

    def __init__(self, heads: Tensor, keys: Tensor, values: Tensor, *, bias: Tensor | None = None) -> None:
        self.heads = heads
        self.entries = keys.shape[1]
        self._keys, self._values = (_roomy(part, ROOM) for part in (keys, values))
        self._bias = bias

    @property
    def keys(self) -> Tensor:
        return self._keys[:, : self.entries]

    @property
    def values(self) -> Tensor:
        return self._values[:, : self.entries]

    @property
    def size(self) -> int:
        """In bytes, without the room behind."""
        return sum(part.numel() * part.element_size() for part in (self.keys, self.values))

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Tokens of all key heads of the layer, (heads, tokens, channels)."""
        end = self.entries + keys.shape[1]
        if end > self._keys.shape[1]:
            room = ROOM + end // 8
            self._keys, self._values = _roomy(self.keys, room), _roomy(self.values, room)
        self._keys[:, self.entries : end] = keys[self.heads]
        self._values[:, self.entries : end] = values[self.heads]
        self.entries = end

    def attend(self, query: Tensor, scaling: float) -> Tensor:
        """query (heads of this group, query heads of each, d); gives their output."""
        mask = None
        if self._bias is not None:
            mask = query.new_zeros(len(self.heads), 1, self.entries)
            mask[:, 0, : self._bias.shape[1]] = self._bias
        # Query heads that share keys stand where rows usually do: one token is read, so nothing is causal.
        return scaled_dot_product_attention(query, self.keys, self.values, attn_mask=mask, scale=scaling)


class KeptLayer(Protocol):
    """One layer of a smaller cache; tokens are read one at a time."""

    @property
    def entries(self) -> int:
        """Over all key heads."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Another token's, (key heads, 1, channels)."""
        ...

    def attend(self, query: Tensor, scaling: float) -> Tensor:
        """query (key heads, query heads of each, d); gives the output in the same shape."""
        ...


class HeadGroups:
    """A layer whose entries were chosen once."""

    def __init__(self, groups: Sequence[HeadGroup]) -> None:
        self.groups = groups

    @property
    def entries(self) -> int:
        return sum(group.entries * len(group.heads) for group in self.groups)

    @property
    def size(self) -> int:
        return sum(group.size for group in self.groups)

    def append(self, keys: Tensor, values: Tensor) -> None:
        for group in self.groups:
            group.append(keys, values)

    def attend(self, query: Tensor, scaling: float) -> Tensor:
        if len(self.groups) == 1:
            return self.groups[0].attend(query, scaling)
        out = torch.empty_like(query)
        for group in self.groups:
            out[group.heads] = group.attend(query[group.heads], scaling)
        return out


def chosen(keys: Tensor, values: Tensor, kept: Tensor) -> HeadGroups:
    """The entries at `kept`, (entries,) alike for all heads or (heads, entries), of a layer's (heads, n, channels)."""
    heads = torch.arange(len(keys), device=keys.device)
    at = kept.to(keys.device)
    if at.ndim == 1:
        return HeadGroups([HeadGroup(heads, keys[:, at], values[:, at])])
    parts = (part.gather(1, at[..., None].expand(-1, -1, part.shape[2])) for part in (keys, values))
    return HeadGroups([HeadGroup(heads, *parts)])


class KeptCache(Cache):
    """A smaller cache of a prompt of `tokens` tokens; the next token stands at that position."""

    def __init__(self, layers: Sequence[KeptLayer], *, tokens: int) -> None:
        super().__init__(layers=[_Appending(layer, tokens) for layer in layers])
        self.kept = tuple(layers)

    @property
    def entries(self) -> int:
        """Over all layers and key heads."""
        return sum(layer.entries for layer in self.kept)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(layer.size for layer in self.kept)


class _Appending(DynamicLayer):  # type: ignore[no-untyped-call]  # its base class has an untyped hook
    """Hands fresh rows to the layer that keeps them; attention asks that one, not what is returned here."""

    def __init__(self, layer: KeptLayer, tokens: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layer = layer
        self.tokens = tokens
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        self.layer.append(key_states[0], value_states[0])
        self.tokens += key_states.shape[2]
        return key_states, value_states

    def get_seq_length(self) -> int:
        return self.tokens


def attend_kept(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    kept: KeptCache,
    scaling: float,
    **options: object,
) -> tuple[Tensor, None]:
    """The attention function: query (1, heads, 1, d); gives (1, 1, heads, d).

    Raises:
        ModelError: the model wants something of its attention that is not implemented here.
        ValueError: more than one token of one reply at a time.
    """
    check_options(options)
    if query.shape[0] != 1 or query.shape[2] != 1:
        raise ValueError(f"a smaller cache is read one token at a time, got queries of shape {tuple(query.shape)}")
    grouped = query[0, :, 0].view(key.shape[1], -1, query.shape[-1])
    out = kept.kept[int(module.layer_idx)].attend(grouped, scaling)  # type: ignore[arg-type]  # a number
    return out.reshape(1, 1, query.shape[1], -1), None


AttentionInterface.register(NAME, attend_kept)


@contextmanager
def decoding(model: PreTrainedModel, cache: Cache | None) -> Iterator[dict[str, KeptCache]]:
    """The options for a call of `model` that goes on from `cache`: none, and nothing changed, for any other cache."""
    if not isinstance(cache, KeptCache):
        yield {}
        return
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield {"kept": cache}
    finally:
        config._attn_implementation = before


def _roomy(part: Tensor, room: int) -> Tensor:
    buffer = part.new_empty(part.shape[0], part.shape[1] + room, part.shape[2])
    buffer[:, : part.shape[1]] = part
    return buffer
