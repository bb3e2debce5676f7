"""How much a language model takes, also one that does not say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rag.models.llm import CountingModel, LanguageModel, MeasuringModel, Message
from rag.models.tokens import estimated_tokens, message_tokens


@dataclass(frozen=True, slots=True)
class Sizes:
    """The window in tokens, how many replies are written at once, how tokens of a text and of messages count."""

    window: int = 8192
    concurrency: int = 4
    count: Callable[[str], int] = estimated_tokens
    measure: Callable[[Sequence[Message]], int] = message_tokens


def sized(model: LanguageModel) -> Sizes:
    """What the model says of itself; the defaults of `Sizes` for one that does not say."""
    if isinstance(model, MeasuringModel):
        return Sizes(model.window, model.concurrency, model.count, model.prompt_tokens)
    if isinstance(model, CountingModel):
        return Sizes(model.window, model.concurrency, model.count, partial(message_tokens, count=model.count))
    return Sizes()
