"""Answers: the evidence they were given, and which sentence rests on which of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rag.types.document import Location, Meta, Span
from rag.types.ranking import Ranking
from rag.types.usage import Usage

Verdict: TypeAlias = Literal["supported", "weak", "unsupported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What compression keeps for the answer: always ``document.text[span.start:span.end] == text``.

    `access` is its document's.
    """

    span: Span
    text: str
    score: float
    chunk_id: str
    source: str = ""
    location: Location = field(default=Location())
    access: tuple[str, ...] | None = field(default=None, compare=False)

    @property
    def where(self) -> str:
        """``handbook.pdf, page 12``: the source and the place in it."""
        place = str(self.location)
        return f"{self.source}, {place}" if place else self.source


@dataclass(frozen=True, slots=True)
class Dropped:
    """A sentence that compression looked at and left out, with the score it got."""

    span: Span
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How far the cited evidence carries a sentence, and what that rests on (`rag.cite.support`).

    Attributes:
        words: share of the sentence's content words that the evidence has, 0 to 1.
        quoted: the evidence has the sentence word for word; nothing else was looked at.
        missing: numbers and names of the sentence that the evidence does not give for this.
        contrary: content words that one of the two denies and the other does not.
        swapped: names that stand where the evidence has another name.
        cosine: with the nearest sentence of the evidence; ``None`` where no embedder was asked.
        entailment: the probability that the evidence implies the sentence; ``None`` without such a model.
        contradiction: the probability that it rules the sentence out.
    """

    verdict: Verdict
    words: float
    quoted: bool = False
    missing: tuple[str, ...] = ()
    contrary: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()
    cosine: float | None = None
    entailment: float | None = None
    contradiction: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """The range ``[start, end)`` of the answer's text that the numbered evidence supports (numbers from 1).

    `spans` says, for each number, where in the source: the sentence itself where the answer quotes it word for word,
    else the whole of that evidence. `support` is ``None`` where nobody checked. `moved_from` are the numbers that the
    answer named before it was found to rest on others.
    """

    start: int
    end: int
    evidence: tuple[int, ...]
    spans: tuple[Span, ...] = ()
    support: Support | None = None
    moved_from: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldCitation:
    """What a value of a structured answer rests on.

    `path` is where the value is (``people.0.name``); `evidence` are the numbers that name it as a source, from 1, with
    a span each: the value itself where the evidence has it word for word (`quoted`), else all of that evidence.
    """

    path: str
    evidence: tuple[int, ...]
    spans: tuple[Span, ...]
    quoted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What one stage did for one question.

    `taken` and `given` count candidates; `rankings` are what it gave (one for each retriever), to show rank moves.
    """

    stage: str
    use: str
    seconds: float
    taken: int
    given: int
    rankings: tuple[Ranking, ...] = ()
    notes: Meta = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """The stages of one question, in the order they ran."""

    stages: tuple[StageRecord, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer, the evidence it was given, and which sentence rests on which evidence.

    `mode` is ``"extractive"`` where the text is quoted from the sources and ``"generated"`` where a language model
    wrote it. An abstained answer has a `reason` and keeps the best evidence found. `dropped_citations` counts markers
    that named no given source; `uncited` are the ranges of sentences that state something and name no source, where
    the citer looks for them. `prompt` is the name and version of the template that a model was asked with. `data` is
    the value of an answer that was asked for in a schema, an object of that model or plain JSON, and `fields` say what
    its values rest on; `text` is then its JSON. `signals` say by name how sure the generator was, and what
    ``ask.abstain`` measured.
    """

    query: str
    text: str
    evidence: tuple[Evidence, ...] = ()
    citations: tuple[Citation, ...] = ()
    mode: Literal["extractive", "generated"] = "generated"
    usage: Usage = field(default=Usage())
    abstained: bool = False
    reason: str = ""
    dropped_citations: int = 0
    uncited: tuple[tuple[int, int], ...] = ()
    prompt: str = ""
    data: object = None
    fields: tuple[FieldCitation, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    trace: Trace = field(default=Trace(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a generator is given, in parts, so that an unchanged part keeps its cached keys and values.

    `evidence` is in the order of its numbers, which count from 1. `history` holds earlier (question, answer) turns.
    `draft` is what stands of the answer already; the generator continues it and does not give it again.
    """

    question: str
    evidence: tuple[Evidence, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of generated text. `logprob` and `entropy` (nats) are ``None`` where the engine does not give them."""

    text: str
    logprob: float | None = None
    entropy: float | None = None
