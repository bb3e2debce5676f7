"""Answers against reference answers, as SQuAD compares them, for any script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rag.text.answers import tokens

_VERDICTS = frozenset({"yes", "no", "noanswer"})


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1 if the answer is one of the golds, once both are normalised; an empty answer matches an empty gold."""
    return _best(answer, golds, lambda ours, gold: float(ours == gold))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Harmonic mean of the precision and recall of words, counted with repetitions; the best over the golds.

    Where either is yes, no or noanswer, anything but the same is 0, as in FlashRAG.

    >>> f1("the cat sat", ["a cat sat down"]), f1("yes", ["yes it is"])
    (0.8, 0.0)
    """
    return _best(answer, golds, _f1)


def contains_answer(answer: str, golds: Sequence[str]) -> float:
    """1 if one of the golds occurs in the answer, as a run of whole words; an empty gold only in an empty answer."""
    return _best(answer, golds, _contains)


def _best(answer: str, golds: Sequence[str], score: Callable[[list[str], list[str]], float]) -> float:
    if not golds:
        raise ValueError("there is no reference answer: the metric has no value")
    ours = tokens(answer)
    return max(score(ours, tokens(gold)) for gold in golds)


def _f1(ours: list[str], gold: list[str]) -> float:
    if not ours or not gold or (ours != gold and not _VERDICTS.isdisjoint(("".join(ours), "".join(gold)))):
        return float(ours == gold)
    common = sum((Counter(ours) & Counter(gold)).values())
    return 2 * common / (len(ours) + len(gold))


def _contains(ours: list[str], gold: list[str]) -> float:
    if not gold:
        return float(not ours)
    return float(any(ours[at : at + len(gold)] == gold for at in range(len(ours) - len(gold) + 1)))
