"""Whether an answer is in doubt: signals of how it was retrieved, written and cited, and rules that combine them.

Each signal alone says little: a model is sure of wrong answers, and right answers are cited badly. Which ones are worth
combining, with which numbers, is found on questions whose answers are known (`rag.evaluate.abstention`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Protocol

from rag.cite.base import Cited
from rag.errors import ModelError
from rag.trigger.margin import margin
from rag.types import Ranking, Token

HIGHER_DOUBTS = frozenset({"entropy"})
"""Signals of which a high value doubts; of the others a low one."""

OF_TOKENS = frozenset({"logprob", "entropy"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is withheld; `reason` names the signals and their values, empty where it is not."""

    abstains: bool
    reason: str = ""


class Doubt(Protocol):
    """A rule over signals."""

    @property
    def use(self) -> str:
        """Its name in the trace."""
        ...

    @property
    def signals(self) -> Mapping[str, float]:
        """The names of the signals that it reads, with their numbers in it."""
        ...

    def judge(self, measured: Mapping[str, float]) -> Verdict:
        """`measured` are the values by name; a signal that could not be measured is missing, and doubts."""
        ...


class ByBounds:
    """An answer is withheld if at least `doubts` signals are beyond their bounds."""

    use = "bounds"

    def __init__(self, bounds: Mapping[str, float], *, doubts: int = 2) -> None:
        self.signals = bounds
        self.doubts = doubts

    def judge(self, measured: Mapping[str, float]) -> Verdict:
        doubting = [
            f"{name} {_shown(measured.get(name))} {'>' if name in HIGHER_DOUBTS else '<'} {bound:g}"
            for name, bound in self.signals.items()
            if name not in measured or _beyond(name, measured[name], bound)
        ]
        if len(doubting) < self.doubts:
            return Verdict(False)
        return Verdict(True, f"in-doubt: {', '.join(doubting)}")


class ByWeights:
    """An answer is withheld if a logistic regression gives it a probability of being right below `least`.

    Where a signal could not be measured there is no probability, and the answer is withheld unless `least` is 0.
    """

    use = "weights"

    def __init__(self, weights: Mapping[str, float], *, bias: float = 0.0, least: float = 0.5) -> None:
        self.signals = weights
        self.bias = bias
        self.least = least

    def judge(self, measured: Mapping[str, float]) -> Verdict:
        known = all(name in measured for name in self.signals)
        right = probability(measured, self.signals, self.bias) if known else 0.0
        if right >= self.least:
            return Verdict(False)
        values = ", ".join(f"{name} {_shown(measured.get(name))}" for name in self.signals)
        return Verdict(True, f"in-doubt: right with {right:.2f} < {self.least:g}, by {values}")


def probability(measured: Mapping[str, float], weights: Mapping[str, float], bias: float) -> float:
    """The logistic function of the weighted sum.

    >>> probability({"agreement": 0.6, "support": 1.0}, {"agreement": 5.0, "support": 1.0}, -4.0)
    0.5
    """
    odds = bias + sum(weight * measured[name] for name, weight in weights.items())
    return 1 / (1 + exp(-odds)) if odds > -500 else 0.0


# ---- signals


def of_ranking(ranking: Ranking) -> dict[str, float]:
    """The best chunk's ``score`` and its ``margin`` over the second; nothing of an empty ranking."""
    return {"score": ranking[0].score, "margin": margin(ranking)} if ranking else {}


def of_tokens(tokens: Sequence[Token]) -> dict[str, float]:
    """The mean ``logprob`` and ``entropy`` of the tokens that have them; nothing of an answer without text.

    Raises:
        ModelError: there is text, and the language model did not say how probable it was.
    """
    found: dict[str, float] = {}
    for name, values in (
        ("logprob", [token.logprob for token in tokens if token.logprob is not None]),
        ("entropy", [token.entropy for token in tokens if token.entropy is not None]),
    ):
        if values:
            found[name] = sum(values) / len(values)
        elif any(token.text for token in tokens):
            raise ModelError(
                f"ask.abstain reads the {name} of the answer's tokens, and the language model gave none",
                hint="choose a backend that gives `logprobs`, or another signal",
            )
    return found


def of_citations(cited: Cited) -> dict[str, float]:
    """``support``: the share of the sentences that state something which cite a source that supports them.

    0 where none does; nothing where nobody checked.
    """
    supports = [citation.support for citation in cited.citations]
    if None in supports:
        return {}
    sentences = len(supports) + len(cited.uncited)
    supported = sum(support is not None and support.verdict == "supported" for support in supports)
    return {"support": supported / sentences if sentences else 0.0}


def _beyond(name: str, value: float, bound: float) -> bool:
    return value > bound if name in HIGHER_DOUBTS else value < bound


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
