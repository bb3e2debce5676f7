"""Whether citations carry the sentences they stand at: the metrics of ALCE (Gao et al., arXiv 2305.14627)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.text.analyze import Analyzer
from rag.text.sentences import sentences
from rag.types import Answer

SUPPORTED = 0.6
"""Share of a sentence's content words that a text must have for it to count as support, without a model."""

_MARKER = re.compile(r"[\[［【]\s*\d{1,9}(?:\s*[-–—,;，、]\s*\d{1,9})*\s*[\]］】]")
_SPACE_BEFORE_STOP = re.compile(r"\s+([.,;:!?。，；：！？])")

Supports = Callable[[int, tuple[int, ...]], bool]
"""Whether the evidence of these numbers, read together, supports the statement at that place."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """`recall`: share of statements that their citations support together. `precision`: share of citations needed."""

    precision: float
    recall: float


def attribution(cited: Sequence[tuple[int, ...]], supports: Supports) -> Attribution:
    """Citation precision and recall of an answer.

    A statement without citations is not supported. A citation counts where all citations of its statement together
    support it, and it does so alone, or the others without it do not. No citation at all is a precision of 0.

    Args:
        cited: for each statement, the numbers of the evidence cited.

    Raises:
        ValueError: there is no statement.
    """
    if not cited:
        raise ValueError("there is no statement: the metric has no value")
    supported = needed = 0
    for at, numbers in enumerate(cited):
        if not numbers or not supports(at, numbers):
            continue
        supported += 1
        if len(numbers) == 1:
            needed += 1
            continue
        for number in numbers:
            others = tuple(other for other in numbers if other != number)
            needed += supports(at, (number,)) or not supports(at, others)
    total = sum(map(len, cited))
    return Attribution(needed / total if total else 0.0, supported / len(cited))


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of an answer without its markers, and the numbers of the evidence it cites, from 1."""

    text: str
    cited: tuple[int, ...]


def statements(answer: Answer) -> list[Statement]:
    """The sentences of an answer with what each cites; a sentence of nothing but markers is none."""
    blanked = answer.text
    for citation in answer.citations:  # a marker after a full stop would open the next sentence
        cited = answer.text[citation.start : citation.end]
        blank = _MARKER.sub(lambda marker: " " * len(marker[0]), cited)
        blanked = blanked[: citation.start] + blank + blanked[citation.end :]
    found = []
    for start, end in sentences(blanked):
        numbers: dict[int, None] = {}
        for citation in answer.citations:
            if max(start, citation.start) < min(end, citation.end):
                numbers.update(dict.fromkeys(citation.evidence))
        text = " ".join(blanked[start:end].split())
        if any(letter.isalnum() for letter in text):
            found.append(Statement(_SPACE_BEFORE_STOP.sub(r"\1", text), tuple(numbers)))
    return found


class Words:
    """Support without a model: the share of a statement's content words that occur in a text, at least `SUPPORTED`.

    A crude stand-in for entailment: it sees neither negation nor who did what. Figures made with it end in
    ``_lexical`` and compare with nothing that a model judged.
    """

    def __init__(self) -> None:
        self.analyzer = Analyzer()

    def support(self, statement: str, text: str) -> bool:
        """A statement without content words is supported by anything.

        >>> Words().support("Dogs bark at night.", "At night a dog will bark.")
        True
        """
        wanted = set(self.analyzer.terms(statement))
        return not wanted or len(wanted & set(self.analyzer.terms(text))) >= SUPPORTED * len(wanted)
