"""Prompts that were read, made smaller before a reply is written (`rag.kv.compress`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from rag.errors import ModelError
from rag.kv.capability import window_of
from rag.kv.compress.base import CacheCompressor, ReadPrompt
from rag.kv.compress.kept import KeptCache
from rag.kv.compress.votes import Votes
from rag.models.local.loading import Loaded, Loader, tokenizer_digest
from rag.models.local.watching import Look, read, read_in_pieces
from rag.models.local.worker import Prompt
from rag.types import CacheKept

LOOKING = 32
"""How many of the last tokens of a prompt without sources count as its question; SnapKV (arXiv 2404.14469) takes 32."""


def refuse(loaded: Loaded) -> None:
    """Refuse a model whose attention over fewer entries would not be that over all of them.

    Raises:
        ModelError: with the reason.
    """
    if not loaded.attends:
        raise ModelError(f"{loaded.name!r} has layers that are not attention: their state cannot be made smaller")
    window = window_of(loaded.model)
    if window is not None and window < loaded.window:
        raise ModelError(
            f"{loaded.name!r} has layers with a sliding window of {window} tokens: `compress_cache` has none",
            hint=f"context_tokens: {window}, or leave out `compress_cache`",
        )


def smaller(model: PreTrainedModel, prompt: Prompt, question: int, compressor: CacheCompressor) -> Prompt:
    """The prompt with only those entries of its cache that `compressor` keeps; its logits stay as they are.

    Args:
        question: where in the prompt what all looks at it begin: entries from there on stay. Short prompts, and those
            without anything in front of it, are given back as they are.
    """
    if len(prompt.ids) <= compressor.minimum or not question:
        return prompt
    votes = question_votes(model, prompt.ids, question, prompt.cache) if compressor.votes else None
    layers = cast("list[DynamicLayer]", prompt.cache.layers)
    whole = ReadPrompt(
        prompt.ids,
        question,
        [cast("Tensor", layer.keys)[0] for layer in layers],
        [cast("Tensor", layer.values)[0] for layer in layers],
        votes,
    )
    cache = KeptCache(compressor.compress(whole), tokens=len(prompt.ids))
    kept = CacheKept(compressor.name, whole.entries, cache.entries, whole.size, cache.size)
    return replace(prompt, cache=cache, usage=replace(prompt.usage, kept=kept))


def question_votes(model: PreTrainedModel, ids: Sequence[int], question: int, cache: Cache) -> Tensor:
    """(layers, heads, question): read the question again, where `cache` has the whole prompt, and look at it."""
    votes = Votes(question)
    cache.crop(question - len(ids))
    read(model, ids[question:], cache, look=Look(votes.take))
    return votes.all()


class DraftModel:
    """A small model that reads prompts of a large one, and shows where their question looks.

    Raises:
        ModelError: it cuts text into other tokens than the large model, or a prompt is longer than its window.
    """

    def __init__(self, loader: Loader, large: Loaded) -> None:
        self.loader = loader
        self.large = large

    def __call__(self, ids: Sequence[int], question: int) -> Tensor:
        loaded = self.loader.load()
        if tokenizer_digest(loaded.tokenizer) != tokenizer_digest(self.large.tokenizer):
            raise ModelError(
                f"the draft {loaded.name!r} does not cut text into the tokens of {self.large.name!r}",
                hint="a smaller model of the same family",
            )
        if len(ids) > loaded.window:
            raise ModelError(f"a prompt of {len(ids)} tokens is longer than the window of the draft {loaded.name!r}")
        votes, cache = Votes(question), DynamicCache()
        read_in_pieces(loaded.model, ids[:question], cache)
        read(loaded.model, ids[question:], cache, look=Look(votes.take))
        return votes.all().to(self.large.model.device)
