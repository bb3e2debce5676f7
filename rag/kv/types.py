"""What goes into the engine and what it tells about a request. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from typing import TypeAlias

TokenRange: TypeAlias = tuple[int, int]
"""Half-open, in tokens."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What keys and values depend on beside the tokens; caches of another identity are never used.

    `tokenizer` is a digest of the tokenizer's file: the same text may be cut differently by its next version.
    """

    model: str
    revision: str
    dtype: str
    tokenizer: str

    def digest(self) -> bytes:
        """16 bytes."""
        return blake2b(repr((self.model, self.revision, self.dtype, self.tokenizer)).encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a prompt.

    `cached` says that it is a chunk, which may come from the store and go there; what is not is always computed
    (labels, separators, the question). `access` is part of the store's key: chunks of another access list are never
    shared. `keep` are the token ranges that stay in the prompt, ascending and disjoint, where sentences were dropped;
    ``None`` keeps all.
    """

    ids: tuple[int, ...]
    cached: bool
    access: str = ""
    keep: tuple[TokenRange, ...] | None = None

    def __post_init__(self) -> None:
        if self.keep is None:
            return
        inside = all(0 <= start < end <= len(self.ids) for start, end in self.keep)
        if not inside or any(before[1] > after[0] for before, after in pairwise(self.keep)):
            raise ValueError(f"ranges to keep must ascend within [0, {len(self.ids)}) and not overlap, got {self.keep}")

    @property
    def ranges(self) -> tuple[TokenRange, ...]:
        return ((0, len(self.ids)),) if self.keep is None else self.keep

    @property
    def kept(self) -> tuple[int, ...]:
        """The ids that stay in the prompt."""
        return self.ids if self.keep is None else tuple(id for s, e in self.keep for id in self.ids[s:e])


@dataclass(frozen=True, slots=True)
class ReuseReport:
    """How much of one request's prompt was computed, in tokens.

    `tokens` is the prompt's length, `reused` + `recomputed` of them; `encoded` counts the tokens of chunks that were
    missing and had to be read on their own first, on top of these. `scored` counts tokens that ran through the first
    layers only, to find which to compute again, and `scored_share` is the share of the model's layers they ran through.
    `loaded` is bytes by tier; `hits` and `misses` count chunks, `found` those of the hits by tier.
    """

    policy: str
    tokens: int
    reused: int
    recomputed: int
    encoded: int = 0
    scored: int = 0
    scored_share: float = 0.0
    hits: int = 0
    misses: int = 0
    loaded: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def computed(self) -> float:
        """Prefill work in tokens that run through the whole model."""
        return self.recomputed + self.encoded + self.scored * self.scored_share


def as_ids(tokens: Sequence[int]) -> tuple[int, ...]:
    """Plain integers, whatever a tokenizer gave."""
    return tuple(int(token) for token in tokens)
