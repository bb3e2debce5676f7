"""What an explanation holds: plain values, for the terminal, JSON and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag.types import Usage

EVIDENCE = "evidence"
"""The name of the last column: the number of a chunk's first piece of evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one stage of the whole pipeline took and gave (chunks; queries for a transform), and what that cost.

    `name` is the component's, with a number where the pipeline has it twice. `share` is of the seconds of all steps.
    `usage` is what the stage says of a language model; zero where it asked none.
    """

    stage: str
    name: str
    taken: int
    given: int
    seconds: float
    share: float
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk that is evidence, or would be without some stage, and its rank in each of the explanation's columns.

    A chunk that an expander widened has the ranks, and the evidence, of the stretch that it is in.

    `texts` are its pieces in the evidence of the whole pipeline, `numbers` theirs, `where` the place of the first; of a
    chunk that is not evidence, what the first variant that has it would keep. `label` is `where` without the folder
    that all passages lie in. A rank is ``None`` where the chunk is not in the ranking; of a retriever that searched
    several queries it is the best.
    """

    chunk_id: str
    where: str
    label: str
    texts: tuple[str, ...]
    numbers: tuple[int, ...]
    ranks: tuple[int | None, ...]

    @property
    def number(self) -> int | None:
        """Its place in the evidence of the whole pipeline, that of its first piece."""
        return self.ranks[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The evidence without one stage.

    Attributes:
        stage, name: which one, as in its `Step`.
        instead: what took its place; empty where nothing did.
        ranks: chunk id -> rank in each of the explanation's columns, of every passage.
        standing: chunk id -> rank in what the compressor was given, of every passage found at all.
        characters: of all evidence.
        answer: what would be answered; ``None`` where answers were not asked for.
        finding: what the stage did, in plain sentences.
    """

    stage: str
    name: str
    instead: str
    ranks: Mapping[str, tuple[int | None, ...]]
    standing: Mapping[str, int]
    characters: int
    answer: str | None
    finding: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the evidence for a question is what it is.

    Attributes:
        queries: what was searched for, after all transforms.
        steps: every stage, in the order they ran.
        columns: every stage that ranks, by name, then `EVIDENCE`.
        passages: the evidence in its order, then what would be evidence without some stage, best rank first.
        left_out: one for each stage that can be left out; the fuser once for each retriever that can stand for it.
        characters: of all evidence.
        answer: ``None`` where answers were not asked for.
        summary: what decided, in plain sentences.
    """

    question: str
    queries: tuple[str, ...]
    steps: tuple[Step, ...]
    columns: tuple[str, ...]
    passages: tuple[Passage, ...]
    left_out: tuple[LeftOut, ...]
    characters: int
    answer: str | None
    summary: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """What the places of all passages begin with, which their labels leave out."""
        return self.passages[0].where.removesuffix(self.passages[0].label) if self.passages else ""

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def usage(self) -> Usage:
        return sum((step.usage for step in self.steps), Usage())
