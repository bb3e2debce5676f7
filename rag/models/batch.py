"""Many prompts for one language model at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from rag.models.caller import CALLER
from rag.models.llm import AS_SET, Choice, ChoosingModel, Completion, LanguageModel, Message, Sampling

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt and how its reply is drawn."""

    messages: Sequence[Message]
    sampling: Sampling = AS_SET


def complete_all(model: LanguageModel, asks: Sequence[Ask], *, concurrency: int) -> list[Completion]:
    """The reply to each prompt, in their order; at most `concurrency` are with the model at the same time.

    Raises:
        BackendError: one of them failed; those that have not started are dropped.
    """
    return _all(lambda ask: model.complete(ask.messages, ask.sampling), asks, concurrency=concurrency)


def choose_all(
    model: ChoosingModel, prompts: Sequence[Sequence[Message]], options: Sequence[str], *, concurrency: int
) -> list[Choice]:
    """How probable each of `options` is as the first token of the reply to each prompt; otherwise as `complete_all`."""
    return _all(lambda messages: model.choose(messages, options), prompts, concurrency=concurrency)


def _all(call: Callable[[T], R], asks: Sequence[T], *, concurrency: int) -> list[R]:
    if len(asks) < 2 or concurrency == 1:
        return [call(ask) for ask in asks]
    threads = min(concurrency, len(asks))
    pool = ThreadPoolExecutor(threads, "llm", initializer=CALLER.set, initargs=(CALLER.get(),))
    try:
        return list(pool.map(call, asks))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
