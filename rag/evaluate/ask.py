"""Asking every system every question, in turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from time import perf_counter
from typing import Literal

from rag.errors import ConfigError, RagError
from rag.evaluate.costs import spent
from rag.evaluate.datasets import Dataset, Question, gold_spans
from rag.evaluate.measures import Case, Found, documents_of
from rag.evaluate.report import QuestionRun
from rag.evaluate.systems import System
from rag.events import Answered, Reranked, Retrieved
from rag.pipeline.pipeline import Pipeline
from rag.types import Answer, Ranking, Trace, Usage

logger = logging.getLogger(__name__)

GIVE_UP = 5  # questions that fail one after the other: the next would as well


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an evaluation is: `done` of `total` questions, those of all systems counted."""

    done: int
    total: int
    system: str
    doing: Literal["asking", "judging"] = "asking"


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much of a ranking is kept: so many documents and chunks, ``None`` for all."""

    documents: int | None
    chunks: int | None


@dataclass(slots=True)
class Asked:
    """What one system did with the questions so far. Everything is keyed by question id or in their order.

    `nan` counts chunks whose score was no number; they are left out of the rankings.
    """

    system: System
    cases: dict[str, Case]
    found: dict[str, Found] = field(default_factory=dict)
    runs: list[QuestionRun] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    nan: int = 0
    failing: int = 0


def ask_all(
    systems: Sequence[System],
    dataset: Dataset,
    *,
    depth: Depth,
    write: bool,
    progress: Callable[[Progress], None] | None = None,
) -> list[Asked]:
    """Ask every question of every system; the systems take turns, each time another one first.

    Raises:
        ConfigError: a system's index does not hold the documents that the questions are about.
        RagError: `GIVE_UP` questions in a row failed for one system; the last one's error.
    """
    asked = [Asked(system, _cases(system, dataset)) for system in systems]
    for system in systems:
        system.pipeline.warm_up()
    done, total = 0, len(systems) * len(dataset.questions)
    for at, question in enumerate(dataset.questions):
        first = at % len(asked)
        for of_system in asked[first:] + asked[:first]:
            _ask_one(of_system, question, depth=depth, write=write)
            done += 1
            if progress is not None:
                progress(Progress(done, total, of_system.system.name))
    return asked


def _cases(system: System, dataset: Dataset) -> dict[str, Case]:
    """The questions with their gold spans in this system's documents, after a look whether it has them at all."""
    index = system.pipeline.index
    reader = index.reader()
    relevant = {document for question in dataset.questions for document in question.documents}
    if relevant and relevant.isdisjoint(summary.id for summary in reader.documents()):
        raise ConfigError(
            f"{system.name}: none of the {len(relevant)} relevant documents is in its index {index.path}, "
            f"{min(relevant)!r} among them",
            hint="ingest the set's documents, under the ids that the judgements use",
        )
    return {
        question.id: Case(question=question, spans=gold_spans(question, reader.document))
        for question in dataset.questions
    }


def _ask_one(asked: Asked, question: Question, *, depth: Depth, write: bool) -> None:
    started = perf_counter()
    try:
        ranking, trace, answer = _answered(asked.system.pipeline, question.text, write=write)
    except RagError as error:
        asked.failing += 1
        if asked.failing == GIVE_UP:
            error.add_note(f"{asked.system.name}: {GIVE_UP} questions in a row failed")
            raise
        logger.warning("%s: question %s failed: %s", asked.system.name, question.id, error.message)
        milliseconds = (perf_counter() - started) * 1000
        asked.found[question.id] = Found()
        asked.runs.append(QuestionRun(id=question.id, milliseconds=milliseconds, failure=error.message))
        return
    milliseconds = (perf_counter() - started) * 1000
    asked.failing = 0
    scored = [hit.chunk for hit in ranking if not isnan(hit.score)]
    asked.nan += len(ranking) - len(scored)
    chunks = [chunk for chunk in scored if chunk.document_id not in question.excluded]
    documents = documents_of(chunks)[: depth.documents]
    asked.found[question.id] = Found(
        chunks=tuple(chunks[: depth.chunks]),
        documents=documents,
        answer=None if answer is None else replace(answer, trace=Trace()),
    )
    # Rankings hold the text of every candidate; kept for every question they would fill the memory.
    asked.traces.append(Trace(tuple(replace(record, rankings=()) for record in trace.stages)))
    asked.usage += spent(trace, answer)
    asked.runs.append(
        QuestionRun(
            id=question.id,
            milliseconds=milliseconds,
            documents=documents,
            answer=None if answer is None else answer.text,
            abstained=answer is not None and answer.abstained,
        )
    )


def _answered(pipeline: Pipeline, question: str, *, write: bool) -> tuple[Ranking, Trace, Answer | None]:
    """The ranking that the evidence is taken from, and the answer if one is to be written.

    Where it retrieved several times, what later rankings add stands behind the first.
    """
    if not write:
        result = pipeline.search(question)
        return result.ranking, result.trace, None
    rankings: list[Ranking] = []
    for event in pipeline.stream([question]):
        if isinstance(event, Retrieved):
            rankings.append(event.ranking)
        elif isinstance(event, Reranked):
            rankings[-1] = event.ranking
        elif isinstance(event, Answered):
            return in_rounds(rankings), event.answer.trace, event.answer
    raise AssertionError("a stream ends with an answer for each question")


def in_rounds(rankings: Sequence[Ranking]) -> Ranking:
    """One ranking of those of several retrievals: each adds behind the others what they do not have."""
    if len(rankings) == 1:
        return rankings[0]
    hits = {hit.chunk.key: hit for ranking in reversed(rankings) for hit in ranking}  # the first of each counts
    keys = dict.fromkeys(hit.chunk.key for ranking in rankings for hit in ranking)
    return Ranking(tuple(hits[key] for key in keys))
