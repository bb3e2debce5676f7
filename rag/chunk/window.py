"""How long a chunk may be at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.embed.base import Tokenizer

if TYPE_CHECKING:
    from rag.resources import Resources

UNBOUNDED = 1 << 40


@dataclass(frozen=True, slots=True)
class Unbounded:
    """The encoder's tokenizer where nothing is embedded: it counts, and its window binds nothing."""

    tokenizer: Tokenizer
    max_tokens: int = UNBOUNDED

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return self.tokenizer.offsets(text)

    def count(self, texts: Sequence[str]) -> list[int]:
        return self.tokenizer.count(texts)


def tokenizer(resources: Resources) -> Tokenizer:
    """What chunks are measured by: the encoder's own tokens, and its window where the index has vectors."""
    of_encoder = resources.embedder.tokenizer
    return of_encoder if resources.index.spec.dense is not None else Unbounded(of_encoder)
