"""What tokens cost."""

from __future__ import annotations

from dataclasses import dataclass

from rag.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens cost, in whatever currency the table is written in.

    `cached` is for prompt tokens that the server found in its cache; ``None``: the same as `prompt`.
    """

    prompt: float
    completion: float
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """The price of that usage.

        >>> Price(prompt=0.5, completion=1.5).of(Usage(2_000_000, 1_000_000))
        2.5
        >>> Price(prompt=0.5, completion=1.5, cached=0.1).of(Usage(2_000_000, 1_000_000, cached_tokens=1_000_000))
        2.1
        """
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.prompt + usage.cached_tokens * cached + usage.completion_tokens * self.completion) / 1e6
