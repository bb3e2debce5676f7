"""How much a language model takes, also one that does not say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rag.models.llm import CountingModel, LanguageModel
from rag.models.tokens import estimated_tokens


@dataclass(frozen=True, slots=True)
class Sizes:
    """The window in tokens, how many replies are written at the same time, and how tokens are counted."""

    window: int = 8192
    concurrency: int = 4
    count: Callable[[str], int] = estimated_tokens


def sized(model: LanguageModel) -> Sizes:
    """What the model says of itself; the defaults of `Sizes` for one that does not say."""
    return Sizes(model.window, model.concurrency, model.count) if isinstance(model, CountingModel) else Sizes()
