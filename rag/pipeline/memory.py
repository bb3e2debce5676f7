"""What a conversation remembers, within bounds: a running summary and turns found again by what they say.

Two stores as in HEMA (arXiv 2504.16754): one summary, written anew as turns leave the recent ones, and the turns
themselves with their vectors. Where there are too many turns, those go that are least likely to be wanted: the weight
of a turn is ``(1 + times recalled) * exp(-age / 200)``, age in turns. The paper gives no formula; this one is ours.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import NamedTemporaryFile

from rag.errors import SourceError

DECAY_TURNS = 200
VERSION = 1  # of the file


@dataclass(frozen=True, slots=True)
class Remembered:
    """A turn, its place in the conversation from 0, and how often it was recalled."""

    at: int
    question: str
    answer: str
    recalled: int = 0

    @property
    def turn(self) -> tuple[str, str]:
        return self.question, self.answer


@dataclass(slots=True)
class Memory:
    """The turns that are kept, in their order, and the summary of those before `summarized`.

    `said` counts all turns there were. `entries` bounds how many are kept.
    """

    entries: int = 500
    turns: list[Remembered] = field(default_factory=list)
    summary: str = ""
    summarized: int = 0
    said: int = 0

    def add(self, question: str, answer: str) -> None:
        """Remember a turn; the least wanted one goes where there are too many."""
        self.turns.append(Remembered(self.said, question, answer))
        self.said += 1
        if len(self.turns) > self.entries:
            self.turns.remove(min(self.turns, key=lambda each: (weight(each, self.said - 1), each.at)))

    def recall(self, found: Sequence[Remembered]) -> None:
        """Count that these turns were of use."""
        wanted = {each.at for each in found}
        self.turns = [replace(each, recalled=each.recalled + (each.at in wanted)) for each in self.turns]

    def clear(self) -> None:
        self.turns.clear()
        self.summary, self.summarized, self.said = "", 0, 0


def weight(turn: Remembered, now: int) -> float:
    """How much a turn is worth keeping when turn `now` has been said.

    >>> [round(weight(Remembered(at, "?", "!"), 200), 4) for at in (200, 0)]
    [1.0, 0.3679]
    """
    return (1 + turn.recalled) * math.exp(-(now - turn.at) / DECAY_TURNS)


def save(memory: Memory, path: Path, *, principals: frozenset[str] | None) -> None:
    """Write the memory as JSON lines, all or nothing, readable by its owner alone."""
    head = {
        "version": VERSION,
        "principals": None if principals is None else sorted(principals),
        "said": memory.said,
        "summary": memory.summary,
        "summarized": memory.summarized,
    }
    turns = [
        {"at": each.at, "question": each.question, "answer": each.answer, "recalled": each.recalled}
        for each in memory.turns
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(  # made with mode 0600
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in (head, *turns))
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def load(path: Path, *, entries: int, principals: frozenset[str] | None) -> Memory:
    """The memory in a file; an empty one where there is none yet.

    Raises:
        SourceError: the file cannot be read, is none of ours, or holds what other principals were told.
    """
    if not path.exists():
        return Memory(entries)
    try:
        head, *turns = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if head["version"] != VERSION:
            raise ValueError(f"expected version {VERSION}, found {head['version']!r}")
        told = None if head["principals"] is None else frozenset(head["principals"])
        kept = [
            Remembered(int(line["at"]), str(line["question"]), str(line["answer"]), int(line["recalled"]))
            for line in turns
        ]
        memory = Memory(entries, kept[-entries:], str(head["summary"]), int(head["summarized"]), int(head["said"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"no conversation that can be read: {error}", source=str(path)) from error
    if told != principals:
        raise SourceError(
            f"the conversation was held by {_named(told)}, not by {_named(principals)}",
            source=str(path),
            hint="its answers may rest on documents that others must not see; use another file",
        )
    return memory


def _named(principals: frozenset[str] | None) -> str:
    return "a caller without access control" if principals is None else ", ".join(sorted(principals)) or "nobody"
