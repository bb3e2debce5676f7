"""Whether a model's chunk caches can be moved and spliced, and how; refused with the reason where they cannot.

What a configuration says is read first, then the model itself is asked: it reads the same tokens at two places, and for
each layer the rotation is looked for that takes the keys of one to those of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from rag.errors import ModelError
from rag.kv.rope import STAYS, Shift

TESTED = ("llama", "mistral", "qwen2", "qwen3", "phi3", "smollm3", "olmo2", "granite")
"""Model types the tests hold to exactness; others are taken if they pass the probe and the engine's self-test."""

_LENGTH_DEPENDENT = {
    "dynamic": "its rotary frequencies change with the prompt's length",
    "longrope": "its rotary frequencies change with the prompt's length",
}
_PROBED = 24  # tokens
_MOVED = 37  # positions; odd and longer than the probe, so that no two frequencies look alike


@dataclass(frozen=True, slots=True)
class Capability:
    """What the engine needs to know of a model.

    `shifts` has one entry a layer. `window` is the longest prompt for which no layer's sliding window cuts in; ``None``
    where no layer has one. `shape` is key heads, channels of a key, channels of a value.
    """

    shifts: tuple[Shift, ...]
    window: int | None
    shape: tuple[int, int, int]


def capability(model: PreTrainedModel) -> Capability:
    """Read, then probe.

    Raises:
        ModelError: the architecture is not supported, with the reason.
    """
    refuse(model)
    near, far = _read(model, 3), _read(model, 3 + _MOVED)
    shapes = {(k.shape[1], k.shape[-1], v.shape[-1]) for k, v in near + far}
    if len(shapes) != 1:
        raise _refused(model, "its layers keep keys and values of different shapes")
    candidates = [STAYS, *_rotations(model)]
    shifts = []
    tolerance = tolerance_of(model)
    for layer, ((keys, values), (far_keys, far_values)) in enumerate(zip(near, far, strict=True)):
        errors = [_difference(shift.moved(keys, _MOVED), far_keys) for shift in candidates]
        best = min(range(len(errors)), key=errors.__getitem__)
        if errors[best] > tolerance:
            raise _refused(model, f"no rotation moves the keys of layer {layer} (off by {errors[best]:.1e})")
        if _difference(values, far_values) > tolerance:
            raise _refused(model, f"the values of layer {layer} depend on absolute positions")
        shifts.append(candidates[best])
    return Capability(tuple(shifts), window_of(model), shapes.pop())


def tolerance_of(model: PreTrainedModel) -> float:
    """The relative difference up to which two ways to compute the same count as equal, by the weights' precision."""
    return 1e-3 if model.dtype in (torch.float32, torch.float64) else 6e-2


def refuse(model: PreTrainedModel) -> None:
    """Refuse what the configuration already shows not to work.

    Raises:
        ModelError: with the reason.
    """
    config = model.config.get_text_config(decoder=True)
    if getattr(model.config, "is_encoder_decoder", False):
        raise _refused(model, "it has an encoder")
    if getattr(config, "kv_lora_rank", None) is not None:
        raise _refused(model, "it keeps compressed keys and values (multi-head latent attention)")
    if getattr(config, "attn_logit_softcapping", None) is not None:
        raise _refused(model, "its attention caps the logits")
    odd = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if odd:
        raise _refused(model, f"it has layers of another kind: {', '.join(sorted(odd))}")
    for kind in _rope_types(config):
        if kind in _LENGTH_DEPENDENT:
            raise _refused(model, f"rope type {kind!r}: {_LENGTH_DEPENDENT[kind]}")
    if getattr(config, "alibi", False):
        raise _refused(model, "its positions are a bias on the attention (ALiBi)")
    if not _frequencies(model):
        raise _refused(model, "it has no rotary positions (learned ones cannot be moved)")
    if not getattr(model, "_supports_attention_backend", False):
        raise _refused(model, "it does not use transformers' attention interface")


def _refused(model: PreTrainedModel, reason: str) -> ModelError:
    return ModelError(
        f"chunk caches are not supported for model type {model.config.model_type!r}: {reason}",
        hint="leave out `reuse`, or use a model of the Llama, Mistral, Qwen2 or Qwen3 family",
    )


def _rope_types(config: object) -> Iterator[str]:
    parameters = getattr(config, "rope_parameters", None) or {}
    for value in (parameters, *parameters.values()):  # one set, or one a kind of layer
        if isinstance(value, dict) and "rope_type" in value:
            yield str(value["rope_type"])


def _frequencies(model: PreTrainedModel) -> list[Tensor]:
    found: list[Tensor] = []
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq") and "original" not in name and buffer.ndim == 1:
            wide = buffer.detach().cpu().double()
            if not any(torch.equal(wide, other) for other in found):
                found.append(wide)
    return found


def _rotations(model: PreTrainedModel) -> list[Shift]:
    return [Shift(frequencies, pairs) for frequencies in _frequencies(model) for pairs in ("halves", "interleaved")]


def window_of(model: PreTrainedModel) -> int | None:
    """How many tokens a layer with a sliding window sees; ``None`` where no layer has one."""
    config = model.config.get_text_config(decoder=True)
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if window is None or getattr(config, "use_sliding_window", True) is False:
        return None
    return None if types and "sliding_attention" not in types else int(window)


@torch.no_grad()
def _read(model: PreTrainedModel, offset: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.config.get_text_config().vocab_size, (1, _PROBED), generator=generator)
    at = torch.arange(offset, offset + _PROBED)[None]
    cache = DynamicCache()
    model(
        input_ids=ids.to(model.device),
        position_ids=at.to(model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    read = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
    if len(read) != len(cache.layers):
        raise _refused(model, "it has layers without keys and values")
    return [(layer.keys, layer.values) for layer in read if layer.keys is not None and layer.values is not None]


def _difference(one: Tensor, other: Tensor) -> float:
    """The largest difference over the largest magnitude."""
    one, other = one.float(), other.float()
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-9))
