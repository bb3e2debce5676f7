"""`cache_craft`: caches of chunks as read in earlier prompts, repaired by how much those prompts had shaped them.

Cache-Craft (arXiv 2502.15734). How much of a chunk is computed again is the paper's; which of its tokens is ours: those
that some head in some layer had let look most at the chunks in front (`rag.kv.recorder`). Left out: its early end for
chunks the question does not look at, since chunks are put together before a question is read, for all questions alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp

from torch import Tensor

from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Request
from rag.kv.policy.hkvd import highest
from rag.kv.variant import Profile, Variant


@dataclass(frozen=True, slots=True)
class CacheCraft:
    """Take a chunk's variant with the smallest fix overhead, and compute that share of its tokens again: those that had
    attended most to the chunks then in front, by their strongest head. `alpha` scales the share."""

    alpha: float = 1.0
    encode: Encode = "in-context"
    name: str = "cache_craft"
    exact: bool = False
    profiles: bool = True

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        costs = [
            (fix_overhead(variant.profile, place.before, alpha=self.alpha), number)
            for number, variant in enumerate(variants)
            if variant.profile is not None
        ]
        if not costs:
            return None
        cost, number = min(costs)
        return variants[number] if cost < 1 else None

    def repair(self, request: Request) -> Sequence[Tensor]:
        rows = []
        for chunk in request.chunks:
            assert chunk.variant is not None  # what was missing is computed in its place
            assert chunk.variant.profile is not None
            assert chunk.scores is not None
            share = fix_overhead(chunk.variant.profile, chunk.place.before, alpha=self.alpha)
            rows.append(highest(chunk.rows, chunk.scores, ceil(share * len(chunk.rows))))
        return rows


def context_impact(profile: Profile) -> float:
    """CCI, eq. 11: ``1 / (1 + exp(-outside / inside))``, from 0.5 (saw nothing in front) to 1.

    >>> context_impact(Profile((), (), outside=0.0, inside=0.2))
    0.5
    """
    return 1 / (1 + exp(-profile.outside / max(profile.inside, 1e-9)))


def fix_overhead(profile: Profile, before: Sequence[bytes], *, alpha: float = 1.0) -> float:
    """CFO, eq. 12: ``alpha * CCI * (1 - overlap * (1 - order penalty))``, at most 1.

    The same chunks in front in the same order cost nothing.

    >>> fix_overhead(Profile((b"a",), (1.0,), 0.1, 0.1), [b"a"])
    0.0
    """
    adjusted = overlap(profile, before) * (1 - order_penalty(profile.before, before))
    return min(1.0, alpha * context_impact(profile) * (1 - adjusted))


def overlap(profile: Profile, before: Sequence[bytes]) -> float:
    """beta, eq. 6: the share of the attention paid to chunks in front that went to chunks in front now too.

    0 / 0 where nothing was in front then: 1 if nothing is now, else 0 (ours: the paper does not say; such a cache has
    seen nothing of the prompt).
    """
    total = sum(profile.inter)
    if total <= 0:
        return float(not before)
    now = set(before)
    return sum(paid for chunk, paid in zip(profile.before, profile.inter, strict=True) if chunk in now) / total


def order_penalty(then: Sequence[bytes], now: Sequence[bytes]) -> float:
    """gamma, eq. 7: of the pairs of chunks in front both then and now, the share whose order has turned round.

    The normalised Kendall tau distance; 0 with fewer than two in common.

    >>> order_penalty([b"a", b"b", b"c"], [b"c", b"a", b"b"])
    0.6666666666666666
    """
    place = {chunk: number for number, chunk in enumerate(now)}
    common = list(dict.fromkeys(chunk for chunk in then if chunk in place))
    pairs = len(common) * (len(common) - 1) // 2
    if not pairs:
        return 0.0
    return sum(place[a] > place[b] for i, a in enumerate(common) for b in common[i + 1 :]) / pairs
