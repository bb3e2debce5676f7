"""Which of several answers to one question say the same, and which one speaks for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.text.answers import tokens
from rag.text.entities import named
from rag.text.markers import unmarked

if TYPE_CHECKING:
    from rag.embed.base import Embedder

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Agreement(Protocol):
    def groups(self, answers: Sequence[str]) -> list[list[int]]:
        """Positions of the answers that say the same, each group's spokesman first; groups as they first come.

        Citation markers say nothing here, but two answers that differ in nothing else are two texts of one group.
        """
        ...


class SameWords:
    """Answers of the same words: lower case, without punctuation and English articles, as SQuAD compares them.

    The spokesman is the text that most of the group have, letter for letter, markers included; of several the first.
    """

    def groups(self, answers: Sequence[str]) -> list[list[int]]:
        words = [tuple(tokens(unmarked(answer))) for answer in answers]
        grouped: dict[tuple[str, ...], list[int]] = {}
        for at, key in enumerate(words):
            grouped.setdefault(key, []).append(at)
        return [_led(group, Counter(answers[at] for at in group), answers) for group in grouped.values()]


class SameMeaning:
    """Answers whose vectors have a cosine of at least `cosine`, and which no number or name tells apart.

    Cosines are high between sentences that differ in a year alone, so numbers must be the same, and one of two answers
    must have no name that the other lacks; that rule is ours. An answer joins the first group whose first member it
    agrees with (as answers are grouped by entailment in arXiv 2302.09664). The spokesman is the medoid: the one with
    the greatest sum of cosines with the others.

    Args:
        embedder: made at first use.
    """

    def __init__(self, embedder: Callable[[], Embedder], *, cosine: float = 0.9) -> None:
        self.embedder = embedder
        self.cosine = cosine

    def groups(self, answers: Sequence[str]) -> list[list[int]]:
        plain = [" ".join(unmarked(answer).split()) for answer in answers]
        distinct = list(dict.fromkeys(plain))
        if len(distinct) == 1:
            return [_led(list(range(len(answers))), Counter(answers), answers)]
        vectors = self.embedder().embed_documents(distinct)
        rows = np.array([distinct.index(text) for text in plain])
        near = (vectors @ vectors.T)[np.ix_(rows, rows)]  # (answers, answers) cosines: vectors have unit length
        groups: list[list[int]] = []
        for at, text in enumerate(plain):
            same = (
                group
                for group in groups
                if plain[group[0]] == text or (near[at, group[0]] >= self.cosine and _compatible(text, plain[group[0]]))
            )
            found = next(same, None)
            if found is None:
                groups.append([at])
            else:
                found.append(at)
        return [_from_medoid(group, near) for group in groups]


def _led(group: list[int], count: Counter[str], answers: Sequence[str]) -> list[int]:
    """The group with a position of its most frequent text first; of several the first."""
    leader = max(group, key=lambda at: (count[answers[at]], -at))
    return [leader, *(at for at in group if at != leader)]


def _from_medoid(group: list[int], near: NDArray[np.float32]) -> list[int]:
    """The group by falling sum of cosines with its members; equal ones as they came."""
    total = near[np.ix_(group, group)].sum(axis=1)
    return [group[at] for at in np.argsort(-total, kind="stable")]


def _compatible(one: str, other: str) -> bool:
    if set(_NUMBER.findall(one)) != set(_NUMBER.findall(other)):
        return False
    names, others = ({word for name in named(text) for word in tokens(name)} for text in (one, other))
    return names <= others or others <= names
