"""What enriching costs: estimated before it starts, counted while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rag.types import Usage


@dataclass(frozen=True, slots=True)
class ChunkFailure:
    """A chunk that could not be enriched as asked, and why.

    `passing`: another run may succeed, since it was the server that failed and not the reply.
    """

    chunk_id: str
    document_id: str
    reason: str
    passing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What enriching would ask of a language model. Tokens are estimates, `completion_tokens` the most there can be.

    `cached` replies are known from an earlier run and cost nothing; `price` is ``None`` where the pipeline names no
    prices.
    """

    chunks: int = 0
    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    price: float | None = None

    def __add__(self, other: Cost) -> Cost:
        priced = [price for price in (self.price, other.price) if price is not None]
        return Cost(
            chunks=self.chunks + other.chunks,
            requests=self.requests + other.requests,
            cached=self.cached + other.cached,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            price=sum(priced) if priced else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichmentReport:
    """What enriching did: chunks asked about, replies taken from the cache, what it cost, which chunks failed."""

    asked: int = 0
    cached: int = 0
    usage: Usage = field(default_factory=Usage)
    failed: tuple[ChunkFailure, ...] = ()


@dataclass(slots=True)
class EnrichmentTally:
    """The report while it grows; `watch` is called after each reply, in the thread that enriches."""

    watch: Callable[[], None] | None = None
    asked: int = 0
    cached: int = 0
    usage: Usage = field(default_factory=Usage)
    failed: list[ChunkFailure] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.asked + self.cached

    def step(self) -> None:
        if self.watch is not None:
            self.watch()

    def report(self) -> EnrichmentReport:
        return EnrichmentReport(asked=self.asked, cached=self.cached, usage=self.usage, failed=tuple(self.failed))
