"""Replies that keep to a JSON Schema, token by token (llguidance)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rag.errors import MissingExtraError, ModelError
from rag.models.llm import Json

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions
    from transformers import TokenizersBackend

_SPACING: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammar:
    """What may come next in one reply that is to satisfy a schema.

    Raises:
        ModelError: the schema asks for what cannot be held to.
    """

    def __init__(self, tokenizer: LLTokenizer, schema: Mapping[str, Json]) -> None:
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=_SPACING)
        self._matcher: LLMatcher = LLMatcher(tokenizer, grammar)
        if self._matcher.is_error():
            raise ModelError(f"the model cannot be held to the schema: {self._matcher.get_error()}")

    @property
    def finished(self) -> bool:
        """Whether the reply is whole and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def masked(self, logits: Tensor) -> Tensor:
        """The logits with those of tokens that may not come next at minus infinity."""
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = (bits[:, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten().bool()[: len(logits)]
        return logits.masked_fill(~allowed.to(logits.device), -torch.inf)

    def take(self, token: int) -> None:
        """Go on behind `token`."""
        self._matcher.consume_token(token)


def grammar_tokenizer(tokenizer: PreTrainedTokenizerBase, *, vocabulary: int) -> LLTokenizer:
    """The tokenizer as llguidance reads it; takes about a second, so it is made once.

    Raises:
        MissingExtraError: llguidance is not installed.
        ModelError: the tokenizer has no fast form.
    """
    try:
        from llguidance import hf
    except ImportError as error:
        raise MissingExtraError("llguidance", extra="hf", needed_for="a reply by schema") from error
    if not tokenizer.is_fast:
        raise ModelError("a reply by schema needs a fast tokenizer, this model has none")
    return hf.from_tokenizer(cast("TokenizersBackend", tokenizer), n_vocab=vocabulary)
