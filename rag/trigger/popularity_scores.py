"""Which popularity is enough to answer without retrieval, learnt from questions answered both ways.

"When Not to Trust Language Models", arXiv 2212.10511: models know what is popular, retrieval helps with the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import expm1, inf, log1p
from random import Random


@dataclass(frozen=True, slots=True)
class Fit:
    """Retrieve where popularity is below `threshold`; `accuracy` is that of doing so on the questions it is from."""

    threshold: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question: how popular its subject is, and whether the answer was right from memory and with retrieval."""

    popularity: float
    from_memory: bool
    with_retrieval: bool


def fit_threshold(outcomes: Sequence[Outcome]) -> Fit:
    """The threshold with the most right answers; of several, the one that retrieves more.

    Between two popularities it lies halfway on a logarithmic scale, of 1 + popularity since there are zeros. 0 never
    retrieves, infinity always.

    Raises:
        ValueError: no outcomes, or a negative popularity.

    >>> popularity, memory, retrieval = [1, 10, 100, 1000], [0, 0, 1, 1], [1, 1, 0, 0]
    >>> fit = fit_threshold([Outcome(*row) for row in zip(popularity, memory, retrieval)])
    >>> 10 < fit.threshold < 100, fit.accuracy
    (True, 1.0)
    """
    if not outcomes or min(outcome.popularity for outcome in outcomes) < 0:
        raise ValueError("expected outcomes with popularities from 0 on")
    ordered = sorted(outcomes, key=lambda outcome: outcome.popularity)
    right = sum(outcome.from_memory for outcome in ordered)
    best, threshold = right, 0.0
    for at, outcome in enumerate(ordered):
        right += outcome.with_retrieval - outcome.from_memory
        after = ordered[at + 1].popularity if at + 1 < len(ordered) else inf
        if after > outcome.popularity and right >= best:  # from there on: ties go to more retrieval
            best, threshold = right, _between(outcome.popularity, after)
    return Fit(threshold, best / len(ordered))


def fit_by_relation(outcomes: Iterable[tuple[str, Outcome]]) -> Mapping[str, Fit]:
    """A threshold for each relation, as in the paper, and under the empty name one for all of them together.

    Raises:
        ValueError: as of `fit_threshold`.
    """
    grouped: dict[str, list[Outcome]] = defaultdict(list)
    for relation, outcome in outcomes:
        grouped[relation].append(outcome)
    everything = [outcome for some in grouped.values() for outcome in some]
    return {"": fit_threshold(everything), **{name: fit_threshold(some) for name, some in grouped.items() if name}}


def held_out(
    outcomes: Sequence[tuple[str, Outcome]], *, share: float = 0.25, seed: int = 0
) -> tuple[list[tuple[str, Outcome]], list[tuple[str, Outcome]]]:
    """The outcomes to fit on, and `share` of those of each relation to test on (the paper fits on 75 %)."""
    chance = Random(seed)
    grouped: dict[str, list[tuple[str, Outcome]]] = defaultdict(list)
    for each in outcomes:
        grouped[each[0]].append(each)
    fit: list[tuple[str, Outcome]] = []
    test: list[tuple[str, Outcome]] = []
    for some in grouped.values():
        chance.shuffle(some)
        cut = int(share * len(some))
        test += some[:cut]
        fit += some[cut:]
    return fit, test


def accuracy(outcomes: Sequence[tuple[str, Outcome]], fits: Mapping[str, Fit]) -> float:
    """The share of right answers when each is retrieved for below its relation's threshold, else the common one.

    Raises:
        ValueError: no outcomes.
    """
    if not outcomes:
        raise ValueError("expected outcomes, got none")
    right = [
        each.with_retrieval if each.popularity < fits.get(relation, fits[""]).threshold else each.from_memory
        for relation, each in outcomes
    ]
    return sum(right) / len(right)


def _between(low: float, high: float) -> float:
    return inf if high == inf else expm1((log1p(low) + log1p(high)) / 2)
