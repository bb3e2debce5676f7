"""Makes a router over query adapters: for each kind of question the expert that answers it best. arXiv 2409.02685."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.embed.adapter import Adapter
from rag.embed.base import Vectors
from rag.embed.routed import Aggregate, Router
from rag.errors import ConfigError
from rag.train.examples import Examples
from rag.train.split import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterReport:
    """nDCG@10 of dense retrieval on held-out questions, the mean over sets.

    `plain` is without any expert, `experts` of each alone, `best` if each question got the expert that suits it best.
    """

    training: int
    held_out: int
    pilots: int
    plain: float
    experts: tuple[float, ...]
    routed: float
    best: float

    @property
    def gained(self) -> bool:
        """Whether routing is better on held-out questions than the encoder as it is and than any one expert."""
        return self.routed > max(self.plain, *self.experts)


def train_router(
    sets: Sequence[Examples], experts: Sequence[Adapter], *, aggregate: Aggregate, least_margin: float, seed: int
) -> tuple[Router, RouterReport]:
    """A pilot for each set and each expert that is best for some of its questions: nDCG@10, equals to the first.

    Adapters trained on these sets with the same seed have not seen the held-out questions either.

    Raises:
        ConfigError: a set has fewer than five questions, or there is no expert.
    """
    if not experts:
        raise ConfigError("a router needs at least one expert")
    if any(len(examples) < 5 for examples in sets):
        raise ConfigError("a set has fewer than five questions: none could be held out")
    splits = [Split.of(len(examples), seed=seed) for examples in sets]
    pilots: list[Vectors] = []
    owners: list[int] = []
    for examples, split in zip(sets, splits, strict=True):
        known = np.concatenate([split.training, split.validation])
        winners = np.array(_figures(examples, known, experts)).argmax(axis=0)
        for owner in np.unique(winners):
            middle = examples.vectors[known[winners == owner]].mean(axis=0)
            pilots.append(middle / np.linalg.norm(middle))
            owners.append(int(owner))
    router = Router(np.stack(pilots), np.array(owners, np.int64), tuple(experts))
    rows: list[list[float]] = []
    for examples, split in zip(sets, splits, strict=True):
        figures = np.array(_figures(examples, split.held_out, experts))
        vectors = examples.vectors[split.held_out]
        chosen = router.choose(vectors, aggregate=aggregate, least_margin=least_margin)
        routed = float(figures[chosen, np.arange(len(chosen))].mean())
        rows.append([*figures.mean(axis=1).tolist(), routed, float(figures.max(axis=0).mean())])
    plain, *each, routed, best = np.mean(rows, axis=0).tolist()
    return router, RouterReport(
        training=sum(len(split.training) + len(split.validation) for split in splits),
        held_out=sum(len(split.held_out) for split in splits),
        pilots=len(pilots),
        plain=plain,
        experts=tuple(each),
        routed=routed,
        best=best,
    )


def _figures(examples: Examples, at: NDArray[np.int64], experts: Sequence[Adapter]) -> list[list[float]]:
    """nDCG@10 of each question, for the plain encoder and for each expert."""
    vectors = examples.vectors[at]
    return [examples.ndcg(at, vectors), *(examples.ndcg(at, expert.apply(vectors)) for expert in experts)]
