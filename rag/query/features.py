"""What a question looks like, as numbers: the context a bandit chooses by."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

FEATURES: tuple[str, ...] = (
    "bias",
    "words",
    "letters a word",
    "clauses",
    "negation",
    "question word",
    "yes or no",
    "pronoun",
    "number",
    "quotation",
    "name",
    "long words",
    "vague words",
    "presupposition",
    "comparison",
    "superlative",
    "time",
    "politeness",
)
"""What each of the 18 places stands for: a constant, then 17 features between 0 and 1."""

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("negation", r"\b(?:no|not|never|none|without|cannot|neither|nor)\b|n't\b"),
        ("question word", r"^\W*(?:what|when|where|which|who|whom|whose|why|how)\b"),
        ("yes or no", r"^\W*(?:is|are|was|were|does|do|did|can|could|will|would|has|have|had|should|may)\b"),
        ("pronoun", r"\b(?:it|its|they|them|their|this|that|these|those|he|she|his|her|there)\b"),
        ("number", r"\d"),
        ("quotation", r"[\"“”«»„]|(?<!\w)'[^']+'(?!\w)"),
        ("vague words", r"\b(?:thing|things|stuff|something|some|somehow|any|kind|sort|way|good|best|etc)\b"),
        ("presupposition", r"\b(?:still|again|already|anymore|stop(?:ped)?|why\s+(?:did|does|do|is|are|was))\b"),
        ("comparison", r"\b(?:than|versus|vs|compared?|difference|between|both|or|more|less|\w{3,}er)\b"),
        ("superlative", r"\b(?:most|least|first|last|only|\w{3,}est)\b"),
        ("time", r"\b(?:when|before|after|since|until|during|today|now|year|century|(?:1\d|20)\d\d)\b"),
        ("politeness", r"\b(?:please|could you|would you|can you|tell me|i want|i need|thanks?)\b"),
    )
)
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_CLAUSE = re.compile(r"[,;:]|\b(?:and|but|because|if|that|which|who|when|while|although)\b", re.IGNORECASE)
_LONG = 9  # letters; a rough stand-in for rare terms that needs no collection


def features(question: str) -> NDArray[np.float64]:
    """(18,) float64, each from 0 to 1, in the order of `FEATURES`. English; elsewhere most patterns say 0.

    >>> dict(zip(FEATURES, features("Is it not big?").tolist(), strict=True))["negation"]
    1.0
    """
    words = _WORD.findall(question)
    count = max(1, len(words))
    found = {name: float(pattern.search(question) is not None) for name, pattern in _PATTERNS}
    found |= {
        "bias": 1.0,
        "words": min(1.0, len(words) / 30),
        "letters a word": min(1.0, sum(map(len, words)) / count / 12),
        "clauses": min(1.0, len(_CLAUSE.findall(question)) / 5),
        "name": float(any(word[0].isupper() for word in words[1:])),
        "long words": sum(len(word) >= _LONG for word in words) / count,
    }
    return np.array([found[name] for name in FEATURES])
