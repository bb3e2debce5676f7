"""A model's attention, shown while it runs, through transformers' attention interface.

What is shown was computed by the model's own plain function, so whatever that does is in it: grouped heads, caps,
sinks, windows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

from rag.errors import ModelError

PIECE = 1024
"""Tokens of a prompt that are read at once: masks and states take memory for these alone."""

_WATCHED, _BOUNDED = "rag_watched", "rag_bounded"

Watch: TypeAlias = Callable[[int, Tensor], None]
"""Called with a layer and its attention (heads, rows, keys) float32; only valid in the call."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a pass is run for: to show attention to `watch`, and no further than through the first `layers` layers."""

    watch: Watch | None = None
    layers: int | None = None


class _Enough(Exception):
    """Ends a pass: the layers behind are not needed."""


def read(
    model: PreTrainedModel, ids: Sequence[int], cache: Cache, *, look: Look | None = None, every_logit: bool = False
) -> Tensor | None:
    """Read `ids` behind what is in `cache`, which grows by them.

    Returns:
        The logits (tokens, vocabulary), of the last token alone without `every_logit`; ``None`` where the pass ended
        before the last layer.

    Raises:
        ModelError: the model does not compute attention through transformers' interface.
    """
    options: dict[str, object] = {} if look is None else {"look": look}
    with torch.no_grad(), _attending(model, look):
        try:
            out = model(
                input_ids=torch.tensor([list(ids)]).to(model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=0 if every_logit else 1,
                **options,
            )
        except _Enough:
            return None
    return cast("Tensor", out.logits[0])


def read_in_pieces(
    model: PreTrainedModel, ids: Sequence[int], cache: Cache, *, look: Look | None = None
) -> Tensor | None:
    """`read` of a prompt of any length; gives the logits (1, vocabulary) of its last token."""
    logits = None
    for start in range(0, len(ids), PIECE):
        logits = read(model, ids[start : start + PIECE], cache, look=look)
    return logits


def _watched(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    look: Look,
    **options: object,
) -> tuple[Tensor, None]:
    plain = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if plain is None:
        raise ModelError(f"the attention of {type(module).__name__} cannot be looked at: it has no plain form")
    output, weights = plain(module, query, key, value, attention_mask, **options)
    layer = cast("int", module.layer_idx)
    if look.watch is not None:
        look.watch(layer, weights[0].float())
    if look.layers is not None and layer + 1 >= look.layers:
        raise _Enough
    return output, None


def _bounded(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    look: Look,
    **options: float | None,
) -> tuple[Tensor, None]:
    # The layer's keys and values are in the cache by now, and nothing else of it is needed.
    if look.layers is not None and cast("int", module.layer_idx) + 1 >= look.layers:
        raise _Enough
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[arg-type]  # passed on as they came


AttentionInterface.register(_WATCHED, _watched)
AttentionMaskInterface.register(_WATCHED, eager_mask)
AttentionInterface.register(_BOUNDED, _bounded)
AttentionMaskInterface.register(_BOUNDED, sdpa_mask)


@contextmanager
def _attending(model: PreTrainedModel, look: Look | None) -> Iterator[None]:
    if look is None:
        yield
        return
    if not getattr(model, "_supports_attention_backend", False):
        raise ModelError(f"the attention of a model of type {model.config.model_type!r} cannot be looked at")
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = _WATCHED if look.watch is not None else _BOUNDED
    try:
        yield
    finally:
        config._attn_implementation = before
