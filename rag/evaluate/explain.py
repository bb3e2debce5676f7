"""Which stage of a pipeline decided what one answer rests on: the pipeline is run whole, then without each stage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from rag.evaluate import findings
from rag.evaluate.variants import Variant, variants
from rag.events import Answered, Retrieved
from rag.types import Answer, Evidence, Meta, Scalar, StageRecord, Usage

if TYPE_CHECKING:
    from rag.pipeline.pipeline import Pipeline
    from rag.types import Condition, Query

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

    `texts` are its pieces in the evidence of the whole pipeline, `numbers` theirs, `where` the place of the first; of a
    chunk that is not evidence, what the first variant that has it would keep. A rank is ``None`` where the chunk is not
    in the ranking; of a retriever that searched several queries it is the best.
    """

    chunk_id: str
    where: str
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
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def usage(self) -> Usage:
        return sum((step.usage for step in self.steps), Usage())


_Column: TypeAlias = tuple[str, int]
"""A stage and which one of its kind; the same in every variant."""


def explain(
    pipeline: Pipeline,
    question: str,
    *,
    filter: Condition | None = None,
    principals: frozenset[str] | None = None,
    answers: bool = False,
) -> Explanation:
    """Run the pipeline whole, then without each stage that can be left out, and compare the evidence.

    All runs share the index and the models, and what stands before the missing stage is computed once. Times are those
    of the whole run, after one other question has loaded the models; that one is spared where a stage asks a language
    model.

    Args:
        filter: a condition on metadata.
        principals: who asks, as in `Pipeline.ask`.
        answers: also write the answer, and that of each variant whose evidence is another.
    """
    ask = pipeline.spec.ask
    pipeline.warm_up()
    if not any("llm" in spec.needs for spec in (*ask.transform, *ask.retrieve, ask.fuse, *ask.rerank)):
        pipeline.search("warm up", filter=filter, principals=principals)

    def run(under: Pipeline, variant: Variant | None = None) -> _Run:
        events = list(under.stream([question], filter=filter, principals=principals))
        (queries,) = [event.queries for event in events if isinstance(event, Retrieved)]
        (answer,) = [event.answer for event in events if isinstance(event, Answered)]
        return _Run(queries, answer, _places(answer, variant))

    pipeline, others = variants(pipeline, write=answers)
    whole = run(pipeline)
    without = [(variant, run(variant.pipeline, variant)) for variant in others]
    names = _names(whole.answer.trace.stages)
    columns = list(whole.places)
    passages = _passages([whole, *(other for _, other in without)], columns)
    return findings.told(
        Explanation(
            question=question,
            queries=tuple(query.text for query in whole.queries),
            steps=_steps(whole.answer, answers=answers),
            columns=tuple(names.get(column, EVIDENCE) for column in columns),
            passages=passages,
            left_out=tuple(
                LeftOut(
                    stage=variant.kind,
                    name=names[variant.kind, variant.at],
                    instead=_instead(variant, names),
                    ranks={each.chunk_id: other.ranks(each.chunk_id, columns) for each in passages},
                    standing=other.standing,
                    characters=other.characters,
                    answer=other.answer.text if answers else None,
                )
                for variant, other in without
            ),
            characters=whole.characters,
            answer=whole.answer.text if answers else None,
        )
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One variant on the question; `places` holds, for each stage that ranks, chunk id -> rank."""

    queries: tuple[Query, ...]
    answer: Answer
    places: Mapping[_Column, Mapping[str, int]]

    def ranks(self, chunk_id: str, columns: Sequence[_Column]) -> tuple[int | None, ...]:
        return tuple(self.places.get(column, {}).get(chunk_id) for column in columns)

    @property
    def standing(self) -> Mapping[str, int]:
        """What the compressor was given: the last ranking before the evidence."""
        return list(self.places.values())[-2]

    @property
    def characters(self) -> int:
        return sum(len(part.text) for part in self.answer.evidence)


def _places(answer: Answer, variant: Variant | None = None) -> dict[_Column, dict[str, int]]:
    places: dict[_Column, dict[str, int]] = {}
    for (stage, at), record in _numbered(answer.trace.stages):
        gone = variant is not None and variant.kind == stage and stage in ("transform", "rerank") and at >= variant.at
        if record.rankings:
            ranked = ((hit.chunk.id, rank) for ranking in record.rankings for rank, hit in enumerate(ranking, 1))
            places[stage, at + gone] = _best(ranked)
    places[EVIDENCE, 0] = _best((part.chunk_id, number) for number, part in enumerate(answer.evidence, 1))
    return places


def _best(ranked: Iterable[tuple[str, int]]) -> dict[str, int]:
    best: dict[str, int] = {}
    for chunk_id, rank in ranked:
        best[chunk_id] = min(rank, best.get(chunk_id, rank))
    return best


def _numbered(records: Sequence[StageRecord]) -> list[tuple[_Column, StageRecord]]:
    seen: Counter[str] = Counter()
    numbered = []
    for record in records:
        numbered.append(((record.stage, seen[record.stage]), record))
        seen[record.stage] += 1
    return numbered


def _names(records: Sequence[StageRecord]) -> dict[_Column, str]:
    """Each stage's `use`; the second of the same name gets a 2."""
    seen: Counter[str] = Counter()
    names = {}
    for column, record in _numbered(records):
        seen[record.use] += 1
        names[column] = record.use if seen[record.use] == 1 else f"{record.use} {seen[record.use]}"
    return names


def _instead(variant: Variant, names: Mapping[_Column, str]) -> str:
    if variant.instead is not None:
        return names["retrieve", variant.instead]
    return "none" if variant.kind == "compress" else ""


def _passages(runs: Sequence[_Run], columns: Sequence[_Column]) -> tuple[Passage, ...]:
    whole = runs[0]
    pieces: dict[str, list[Evidence]] = {}
    for run in runs:
        new = [part for part in run.answer.evidence if part.chunk_id not in pieces]
        for part in new:
            pieces.setdefault(part.chunk_id, []).append(part)
    numbers: dict[str, list[int]] = {}
    for number, part in enumerate(whole.answer.evidence, 1):
        numbers.setdefault(part.chunk_id, []).append(number)
    others = sorted(pieces.keys() - numbers.keys(), key=lambda key: (whole.standing.get(key, math.inf), key))
    return tuple(
        Passage(
            chunk_id=key,
            where=pieces[key][0].where,
            texts=tuple(part.text for part in pieces[key]),
            numbers=tuple(numbers.get(key, ())),
            ranks=whole.ranks(key, columns),
        )
        for key in (*numbers, *others)
    )


def _steps(answer: Answer, *, answers: bool) -> tuple[Step, ...]:
    records = answer.trace.stages
    names = _names(records)
    shown = [(at, record) for at, record in _numbered(records) if answers or record.stage not in ("generate", "cite")]
    total = sum(record.seconds for _, record in shown)
    return tuple(
        Step(
            stage=record.stage,
            name=names[at],
            taken=record.taken,
            given=record.given,
            seconds=record.seconds,
            share=record.seconds / total if total else 0.0,
            usage=answer.usage if record.stage == "generate" else _usage(record.notes),
        )
        for at, record in shown
    )


def _usage(notes: Meta) -> Usage:
    prompt, completion, requests = (notes.get(name) for name in ("prompt_tokens", "completion_tokens", "requests"))
    return Usage(_count(prompt), _count(completion), _count(requests))


def _count(value: Scalar) -> int:
    return value if isinstance(value, int) else 0
