"""QueryBandits: learn which way of rewriting helps which questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from rag.query.asking import LONGEST_CHARACTERS, Asker, notes_on
from rag.query.bandit_state import Arm, BanditState
from rag.query.base import Rewritten
from rag.query.features import features
from rag.types import Query

NONE = "none"
"""The arm that leaves a question as it is."""

STRATEGIES: Mapping[str, str] = {
    "paraphrase": "Say the question in other words.",
    "simplify": "Say the question in short, simple words, without subordinate clauses.",
    "disambiguate": "Replace every vague or ambiguous word by what it most likely means here.",
    "expand": "Say the question at greater length, with the context and the related terms it takes for granted.",
    "clarify": "Replace technical terms and abbreviations by what they stand for, keeping the original in brackets.",
}
"""The instruction of each arm that rewrites."""


class Bandit:
    """For each question one strategy, by contextual Thompson sampling: the question alone, or beside one rewrite of it.

    With A = prior * I + sum of x xT and b = sum of r x over the rewarded choices of an arm, theta is drawn from
    N(A⁻¹ b, spread² A⁻¹) and the arm of the largest theta · x is played, ties to the first. `x` are the features of the
    question, the reward r from 0 to 1 comes from outside: `BanditState.reward`, or ``rag reward``, with the number that
    the trace notes as ``choice``. The same seed and state make the same choices. An empty or endless reply leaves the
    question alone and is counted.

    QueryBandits, arXiv 2508.16697. Arms and features are ours; the arm ``none`` is added, since every rewrite can do
    harm, and before the first reward it is the only one played.

    Raises:
        BackendError: the model failed.
        ConfigError: the state cannot be used.
    """

    def __init__(self, asker: Asker, state: BanditState, *, arms: Sequence[str], spread: float, seed: int) -> None:
        self.asker = asker
        self.state = state
        self.arms = tuple(arms)
        self.spread = spread
        self.seed = seed
        self._learns = True

    def frozen(self) -> Bandit:
        """The same, whose choices are those that it would make next; they are not counted and can have no reward."""
        other = copy(self)
        other._learns = False
        return other

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        chosen = [self._choose(query.text) for query in queries]
        places = [at for at, (arm, _) in enumerate(chosen) if arm != NONE]
        values = [{"instruction": STRATEGIES[chosen[at][0]]} for at in places]
        replies = dict(zip(places, self.asker.ask_each([queries[at] for at in places], values), strict=True))
        made: list[Rewritten] = []
        for at, (query, (arm, number)) in enumerate(zip(queries, chosen, strict=True)):
            notes = {"arm": arm, **({"choice": str(number)} if self._learns else {})}
            if at not in replies:
                made.append(Rewritten((query,), notes))
                continue
            text = replies[at].text.strip()
            usable = bool(text) and len(text) <= max(LONGEST_CHARACTERS, 2 * len(query.text))
            rewrites = (query.rephrased(text),) if usable and text != query.text else ()
            made.append(Rewritten((query, *rewrites), {**notes, **notes_on([replies[at]], malformed=int(not usable))}))
        return made

    def _choose(self, question: str) -> tuple[str, int]:
        x = features(question)
        while True:
            number = self.state.choices() + 1
            generator = np.random.default_rng([self.seed, number])
            arms = self.state.arms(self.arms)
            untaught = NONE in arms and not any(arm.rewards for arm in arms.values())
            arm = NONE if untaught else draw(arms, x, spread=self.spread, generator=generator)
            if not self._learns or self.state.choose(arm, x, number=number):
                return arm, number


def draw(arms: Mapping[str, Arm], x: NDArray[np.float64], *, spread: float, generator: np.random.Generator) -> str:
    """The arm whose drawn theta gives `x` the largest value, ties to the first; `spread` 0 takes the means."""
    best, largest = "", -np.inf
    for name, arm in arms.items():
        # A = L Lᵀ, so L⁻ᵀ z has the covariance A⁻¹.
        root = np.linalg.cholesky(arm.precision)
        theta = arm.mean + spread * np.linalg.solve(root.T, generator.standard_normal(len(x)))
        value = float(theta @ x)
        if value > largest:
            best, largest = name, value
    return best
