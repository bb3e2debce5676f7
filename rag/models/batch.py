"""Many prompts for one language model at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rag.models.llm import AS_SET, Completion, LanguageModel, Message, Sampling


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
    if len(asks) < 2 or concurrency == 1:
        return [model.complete(ask.messages, ask.sampling) for ask in asks]
    pool = ThreadPoolExecutor(min(concurrency, len(asks)), thread_name_prefix="llm")
    try:
        return list(pool.map(lambda ask: model.complete(ask.messages, ask.sampling), asks))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
