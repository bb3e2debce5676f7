"""Run a pipeline whole, then without each stage, and see what the evidence owes to which."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, TypeAlias

from rag.evaluate import findings
from rag.evaluate.explanation import EVIDENCE, Explanation, LeftOut, Passage, Step
from rag.evaluate.variants import Variant, variants
from rag.events import Answered, Retrieved
from rag.types import Answer, Evidence, Meta, Ranking, Reuse, Scalar, Span, StageRecord, Usage

if TYPE_CHECKING:
    from rag.pipeline.pipeline import Pipeline
    from rag.types import Condition, Query

TAKEN_OUT = ("transform", "rerank", "expand")
"""Stages that a variant runs without; the others have something in their place."""

_Column: TypeAlias = tuple[str, int]
"""A stage and which one of its kind; the same in every variant."""

_Places: TypeAlias = Mapping[_Column, Mapping[str, int]]
"""For each stage that ranks: chunk id -> rank."""

_Members: TypeAlias = Mapping[str, tuple[str, ...]]
"""Id of a stretch that an expander made -> ids of the ranked chunks in it."""


def explain(
    pipeline: Pipeline,
    question: str,
    *,
    filter: Condition | None = None,
    principals: frozenset[str] | None = None,
    answers: bool = False,
) -> Explanation:
    """Run the pipeline whole, then without each stage that can be left out, and compare the evidence.

    All runs share the index and the models, and what stands before the missing stage is computed once. Components that
    learn from questions (`rag.pipeline.build.Learning`) learn nothing from these. Times are those
    of the whole run, after one other question has loaded the models; that one is spared where a stage asks a language
    model.

    Args:
        filter: a condition on metadata.
        principals: who asks, as in `Pipeline.ask`.
        answers: also write the answer, and that of each variant whose evidence is another.
    """
    ask = pipeline.spec.ask
    pipeline.warm_up()
    pipeline = pipeline.variant(pipeline.stages.frozen())
    if not any("llm" in spec.needs for spec in (*ask.transform, *ask.retrieve, ask.fuse, *ask.rerank, *ask.expand)):
        pipeline.search("warm up", filter=filter, principals=principals)

    def run(under: Pipeline, variant: Variant | None = None) -> _Run:
        events = list(under.stream([question], filter=filter, principals=principals))
        (queries,) = [event.queries for event in events if isinstance(event, Retrieved)]
        (answer,) = [event.answer for event in events if isinstance(event, Answered)]
        return _Run(queries, answer, *_places(answer, variant))

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
    """One variant on the question."""

    queries: tuple[Query, ...]
    answer: Answer
    places: _Places
    members: _Members

    @property
    def pieces(self) -> Iterator[tuple[str, int, Evidence]]:
        """Chunk id, number and evidence; evidence of a stretch once for every chunk in it."""
        for number, part in enumerate(self.answer.evidence, 1):
            for chunk_id in self.members.get(part.chunk_id) or (part.chunk_id,):
                yield chunk_id, number, part

    def ranks(self, chunk_id: str, columns: Sequence[_Column]) -> tuple[int | None, ...]:
        return tuple(self.places.get(column, {}).get(chunk_id) for column in columns)

    @property
    def standing(self) -> Mapping[str, int]:
        """What the compressor was given: the last ranking before the evidence."""
        return list(self.places.values())[-2]

    @property
    def characters(self) -> int:
        return sum(len(part.text) for part in self.answer.evidence)


def _places(answer: Answer, variant: Variant | None = None) -> tuple[_Places, _Members]:
    """The rank of each chunk at each stage, and the chunks in each stretch that an expander made."""
    places: dict[_Column, dict[str, int]] = {}
    members: dict[str, tuple[str, ...]] = {}
    narrow = Ranking()
    for (stage, at), record in _numbered(answer.trace.stages):
        gone = variant is not None and variant.kind == stage and stage in TAKEN_OUT and at >= variant.at
        if stage == "expand":
            members |= {hit.chunk.id: _inside(hit.chunk.span, narrow) for hit in record.rankings[0]}
        elif record.rankings:
            narrow = record.rankings[-1]
        if record.rankings:
            ranked = ((hit.chunk.id, rank) for ranking in record.rankings for rank, hit in enumerate(ranking, 1))
            places[stage, at + gone] = _best(ranked, members)
    numbers = ((part.chunk_id, number) for number, part in enumerate(answer.evidence, 1))
    places[EVIDENCE, 0] = _best(numbers, members)
    return places, members


def _inside(span: Span, ranking: Ranking) -> tuple[str, ...]:
    chunks = [hit.chunk for hit in ranking if hit.chunk.document_id == span.document_id]
    return tuple(chunk.id for chunk in chunks if span.start <= chunk.span.start and chunk.span.end <= span.end)


def _best(ranked: Iterable[tuple[str, int]], members: _Members) -> dict[str, int]:
    best: dict[str, int] = {}
    for stretch, rank in ranked:
        for chunk_id in members.get(stretch) or (stretch,):
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
        new = [(chunk_id, part) for chunk_id, _, part in run.pieces if chunk_id not in pieces]
        for chunk_id, part in new:
            pieces.setdefault(chunk_id, []).append(part)
    numbers: dict[str, list[int]] = {}
    for chunk_id, number, _ in whole.pieces:
        numbers.setdefault(chunk_id, []).append(number)
    folder = _folder([parts[0].where for parts in pieces.values()])
    others = sorted(pieces.keys() - numbers.keys(), key=lambda key: (whole.standing.get(key, math.inf), key))
    return tuple(
        Passage(
            chunk_id=key,
            where=pieces[key][0].where,
            label=pieces[key][0].where[len(folder) :],
            texts=tuple(part.text for part in pieces[key]),
            numbers=tuple(numbers.get(key, ())),
            ranks=whole.ranks(key, columns),
        )
        for key in (*numbers, *others)
    )


def _folder(places: Sequence[str]) -> str:
    """The folders that all places begin with; what follows a comma is no path."""
    folders = [place.split(", ")[0].split("/")[:-1] for place in places]
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))]
    return "".join(f"{part}/" for part in shared)


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
    names = ("prompt_tokens", "completion_tokens", "requests", "cached_tokens")
    prompt, completion, requests, cached = (_count(notes.get(name)) for name in names)
    return Usage(prompt, completion, requests, cached_tokens=cached, reuse=Reuse.of(notes))


def _count(value: Scalar) -> int:
    return value if isinstance(value, int) else 0
