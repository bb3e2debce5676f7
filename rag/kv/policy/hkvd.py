"""`hkvd`: the tokens whose cached keys and values are farthest from fresh ones are computed again.

CacheBlend (arXiv 2405.16444), with one check layer as in LMCache instead of the paper's gradual filtering over layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Measure, Request, only
from rag.kv.variant import Variant


@dataclass(frozen=True, slots=True)
class HighestDeviation:
    """Recompute the `ratio` of all chunks' tokens with the largest deviation at layer `check`.

    All tokens run through the layers up to `check` to be measured (layer 0 cannot deviate: it sees tokens alone), which
    costs that share of a prefill, and makes those layers exact.
    """

    ratio: float = 0.15
    check: int = 1
    measure: Measure = "keys"
    encode: Encode = "behind-prefix"
    name: str = "hkvd"
    exact: bool = False
    profiles: bool = False

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        return only(variants)

    def repair(self, request: Request) -> Sequence[Tensor]:
        if not request.chunks:
            return ()
        rows = torch.cat([chunk.rows for chunk in request.chunks])
        wanted = ceil(self.ratio * len(rows))
        if wanted == len(rows):
            return (rows,)
        return (highest(rows, request.deviation(layer=self.check, measure=self.measure)[rows], wanted),)


def highest(rows: Tensor, scores: Tensor, count: int) -> Tensor:
    """The `count` rows with the highest scores; of equal ones the earlier.

    >>> highest(torch.tensor([4, 7, 9]), torch.tensor([0.5, 2.0, 0.5]), 2).tolist()
    [7, 4]
    """
    return rows[torch.argsort(scores, descending=True, stable=True)[:count]]
