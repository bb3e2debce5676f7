"""Where a local model looks: attention of a prompt's end to documents in it, and of a whole short text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from rag.errors import ModelError
from rag.models.attention import Attended, Attention, Head, Reading
from rag.models.local.chat import Encoded
from rag.models.local.watching import Look, read, read_in_pieces
from rag.types import Usage

READ_TOKENS = 2048
"""The longest text that `reading` takes: maps grow with the square."""
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """One whole prompt: its tokens, the token ranges of its documents, and where its tail begins."""

    encoded: Encoded
    documents: tuple[tuple[int, int], ...]
    tail: int


class Means:
    """Collects the mean attention of the last rows of a pass, layer by layer; maps are dropped at once.

    Args:
        rows: how many of the last ones count.
        heads: those to keep; all of them if ``None``.
    """

    def __init__(self, rows: int, heads: Sequence[Head] | None) -> None:
        self.rows = rows
        self.heads = heads
        self._layers: dict[int, NDArray[np.float32]] = {}

    def take(self, layer: int, weights: Tensor) -> None:
        """`weights` are (heads, rows, keys)."""
        if self.heads is None or any(head.layer == layer for head in self.heads):
            self._layers[layer] = weights[:, -self.rows :].mean(1).cpu().numpy()

    def of(self, documents: Sequence[tuple[int, int]], heads: Sequence[Head] | None) -> tuple[Attention, ...]:
        """For each token range (heads, its tokens), in the order of `heads`, or all of them layer by layer."""
        if heads is None:
            rows = np.concatenate([self._layers[layer] for layer in sorted(self._layers)])
        else:
            rows = np.stack([self._layers[head.layer][head.head] for head in heads])
        return tuple(np.ascontiguousarray(rows[:, start:end]) for start, end in documents)


def attention(model: PreTrainedModel, asked: Sequence[Asked], heads: Sequence[Head] | None) -> Attended:
    """For each prompt the attention of its tail to its documents; what the prompts begin with alike is read once.

    Memory is linear in the prompt's length: of a map only the tail's rows are ever made, and one layer's at a time.
    """
    check_heads(model, heads)
    through = None if heads is None else 1 + max(head.layer for head in heads)
    alike = min(_alike([each.encoded.ids for each in asked]), min(each.tail for each in asked))
    cache = DynamicCache()
    read_in_pieces(model, asked[0].encoded.ids[:alike], cache, look=None if through is None else Look(layers=through))
    found: list[tuple[Attention, ...]] = []
    for each in asked:
        ids = each.encoded.ids
        # Rows between the shared part and the tail are read but do not count: tokens may join over the seam.
        means = Means(len(ids) - each.tail, heads)
        read(model, ids[alike:], cache, look=Look(means.take, through))
        found.append(means.of(each.documents, heads))
        cache.crop(alike - len(ids))
    tokens = sum(len(each.encoded.ids) for each in asked)
    return Attended(tuple(found), Usage(tokens, 0, len(asked), cached_tokens=alike * (len(asked) - 1)))


def reading(model: PreTrainedModel, encoded: Encoded, layers: Sequence[int]) -> Reading:
    """What the model expects and attends to, token by token.

    Raises:
        ModelError: there is no such layer.
    """
    count = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    wrong = [layer for layer in layers if not -count <= layer < count]
    if wrong:
        raise ModelError(f"the model has layers 0 to {count - 1}, not {wrong[0]}")
    wanted = [layer % count for layer in layers]
    n = len(encoded.ids)
    maps: dict[int, NDArray[np.float32]] = {}
    logprobs, entropies = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    cache = DynamicCache()
    for start in range(0, n, _ROWS):
        ids = encoded.ids[start : start + _ROWS]
        rows = slice(start, start + len(ids))

        def keep(layer: int, weights: Tensor, rows: slice = rows) -> None:
            if layer in wanted:
                whole = maps.setdefault(layer, np.zeros((len(weights), n, n), np.float32))
                whole[:, rows, : weights.shape[-1]] = weights.cpu().numpy()

        logits = read(model, ids, cache, look=Look(keep), every_logit=True)
        assert logits is not None
        known = torch.log_softmax(logits.float(), -1)
        following = torch.tensor(encoded.ids[start + 1 : start + 1 + len(ids)]).to(known.device)
        said = known[: len(following)]
        after = slice(start + 1, start + 1 + len(following))
        logprobs[after] = said.gather(1, following[:, None])[:, 0].cpu().numpy()
        entropies[after] = torch.special.entr(said.exp()).sum(1).cpu().numpy()
    return Reading(encoded.offsets, logprobs, entropies, np.stack([maps[layer] for layer in wanted]))


def writing(
    model: PreTrainedModel, prompt: Sequence[int], *, ends: frozenset[int], max_tokens: int
) -> tuple[list[int], NDArray[np.int64]]:
    """The tokens written greedily, and for each where every head looked: (steps, layers, heads)."""
    cache = DynamicCache()
    read_in_pieces(model, prompt[:-1], cache)
    token = prompt[-1]
    written: list[int] = []
    looks: list[NDArray[np.int64]] = []
    while len(written) < max_tokens:
        top: dict[int, NDArray[np.int64]] = {}

        def note(layer: int, weights: Tensor, top: dict[int, NDArray[np.int64]] = top) -> None:
            top[layer] = weights[:, -1].argmax(-1).cpu().numpy()

        logits = read(model, [token], cache, look=Look(note))
        assert logits is not None
        token = int(logits[-1].argmax())
        if token in ends:
            break
        written.append(token)
        looks.append(np.stack([top[layer] for layer in sorted(top)]))
    config = model.config.get_text_config(decoder=True)
    empty = np.empty((0, config.num_hidden_layers, config.num_attention_heads), np.int64)
    return written, np.stack(looks) if looks else empty


def check_heads(model: PreTrainedModel, heads: Sequence[Head] | None) -> None:
    """Refuse heads that the model does not have.

    Raises:
        ModelError: one is missing, or none is asked for.
    """
    if heads is None:
        return
    config = model.config.get_text_config(decoder=True)
    layers, width = int(config.num_hidden_layers), int(config.num_attention_heads)
    wrong = [head for head in heads if not (0 <= head.layer < layers and 0 <= head.head < width)]
    if wrong or not heads:
        raise ModelError(
            f"the model has {layers} layers of {width} heads, not the head {wrong[0]}" if wrong else "no head is named",
            hint="a list of heads belongs to one model",
        )


def _alike(several: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with alike."""
    first, *others = several
    for at, token in enumerate(first):
        if any(at >= len(other) or other[at] != token for other in others):
            return at
    return len(first)
