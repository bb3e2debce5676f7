"""Adaptive-RAG: as much retrieval as the question needs (Jeong et al., arXiv 2403.14403)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, TypeAlias

from rag.errors import BackendError
from rag.text.entities import named
from rag.trigger.asking import Asker
from rag.trigger.base import Asked, Decision, Moment, MomentName, Trigger
from rag.types import Scalar

Need: TypeAlias = Literal["none", "single", "multi"]
"""The paper's classes A, B and C."""

Classifier: TypeAlias = Callable[[str], tuple[Need, Mapping[str, Scalar]]]
"""What a question needs, and what finding out cost."""

REMEMBERED = 256
"""Questions whose class is kept: each is looked at again at every later moment."""

_COMPARES = re.compile(
    r"\b(?:both|older|younger|earlier|later|longer|shorter|larger|smaller|bigger|taller|higher|lower|closer|"
    r"more|less|fewer|than|same|differ\w*|compar\w*|in common|or)\b",
    re.IGNORECASE,
)
_DEFINES = re.compile(r"^(?:what|who) (?:is|are|was|were)\b|^define\b|^what does .* (?:mean|stand for)", re.IGNORECASE)
_CHAINS = re.compile(
    r"\b(?:of|by|in|for) the \w+(?: \w+)? (?:of|that|who|which|where|whose)\b"  # the mayor of the town where ...
    r"|['’]s \w+(?:['’]s| (?:of|in))\b"  # Ann's mother's ...
    r"|\b(?:who|which|that|whose|where) \w+.*\b(?:who|which|that|whose|where)\b",
    re.IGNORECASE,
)


class Adaptive:
    """No retrieval, one retrieval, or several rounds as `multi` decides them, by the class of the question.

    Args:
        parametric: whether the class without retrieval is allowed; else such questions get one.
    """

    reads_tokens: bool

    def __init__(self, classify: Classifier, multi: Trigger, *, parametric: bool = False) -> None:
        self.multi = multi
        self.parametric = parametric
        self.reads_tokens = multi.reads_tokens
        self.classify = lru_cache(maxsize=REMEMBERED)(classify)

    @property
    def moments(self) -> frozenset[MomentName]:
        return self.multi.moments | {"asked"}

    def decide(self, moment: Moment) -> Decision:
        need, notes = self.classify(moment.query.text)
        if isinstance(moment, Asked):
            skip = need == "none" and self.parametric
            return Decision(retrieve=not skip, why=f"class {need}", numbers=notes)
        if need == "multi":
            return self.multi.decide(moment)
        return Decision(retrieve=False, why=f"class {need}")


def by_rules(question: str) -> tuple[Need, Mapping[str, Scalar]]:
    """English only: comparisons, chains and two names need several rounds; asking what a name is needs none.

    >>> by_rules("Who is older, Ann Lee or Bo Ek?")[0], by_rules("When was the Vasa raised?")[0]
    ('multi', 'single')
    """
    entities = len(named(question))
    if entities >= 2 or _CHAINS.search(question) or (entities and _COMPARES.search(question)):
        return "multi", {}
    return ("none" if entities == 1 and _DEFINES.search(question) else "single"), {}


class Prompted:
    """The class as a language model sees it, in place of the paper's trained classifier.

    Raises:
        BackendError: also where the reply names no class.
    """

    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    def __call__(self, question: str) -> tuple[Need, Mapping[str, Scalar]]:
        told = self.asker.ask([{"question": question}])
        said = told.replies[0].get("needs") if told.replies[0] else None
        for need in ("none", "single", "multi"):
            if said == need:
                return need, told.notes()
        raise BackendError("the language model did not say what the question needs")


def label(*, none: bool, single: bool, multi: bool, multi_hop: bool) -> Need:
    """The class of a question for training: the cheapest way that answered it right.

    Args:
        multi_hop: whether the set it is from asks for several documents; decides where no way was right.

    >>> label(none=False, single=True, multi=True, multi_hop=True)
    'single'
    >>> label(none=False, single=False, multi=False, multi_hop=True)
    'multi'
    """
    if none:
        return "none"
    if single:
        return "single"
    return "multi" if multi or multi_hop else "single"
