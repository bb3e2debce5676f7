"""What a reader must know before trusting the figures of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag.evaluate.ask import Asked
from rag.evaluate.datasets import Dataset
from rag.evaluate.measures import Measure
from rag.evaluate.report import SystemResult
from rag.evaluate.systems import model_name


def notes(
    dataset: Dataset,
    asked: Sequence[Asked],
    measures: Sequence[Measure],
    results: Sequence[SystemResult],
    *,
    judge: str = "",
) -> Iterator[str]:
    """One sentence each; nothing where all is well. `judge` is the name of the model that judged, if one did."""
    yield from dataset.notes
    about: dict[str, list[str]] = {}
    for each, result in zip(asked, results, strict=True):
        for note in (*_of_system(each, result), *_too_shallow(each, measures)):
            about.setdefault(note, []).append(result.name)
    for note, systems in about.items():
        yield f"{', '.join(systems)}: {note}"
    if own := [each.system.name for each in asked if judge and _wrote(judge, each)]:
        yield f"{', '.join(own)}: judged by the model that wrote the answers, {judge}, which favours its own"
    failed = [
        (name, outcome.failed) for result in results for name, outcome in result.results.items() if outcome.failed
    ]
    if failed:
        total, names = sum(count for _, count in failed), ", ".join(sorted({name for name, _ in failed}))
        yield f"the judge failed on {total} judgements ({names}); they count nowhere"


def _wrote(model: str, asked: Asked) -> bool:
    generated = any(found.answer is not None and found.answer.mode == "generated" for found in asked.found.values())
    return generated and model_name(asked.system.pipeline) == model


def _of_system(asked: Asked, result: SystemResult) -> Iterator[str]:
    failures = [run for run in result.runs if run.failure]
    if failures:
        yield (
            f"{len(failures)} of {len(result.runs)} questions failed and count as nothing found; "
            f"the first: {failures[0].failure}"
        )
    if result.cost.ingest is not None and result.cost.ingest.failed:
        yield f"{result.cost.ingest.failed} documents of the set could not be indexed"
    if asked.nan:
        yield f"{asked.nan} chunks had a score that is no number; they are left out"
    if result.cost.usage.estimated:
        yield "the server did not count tokens; they are estimated"
    held = {summary.id for summary in asked.system.pipeline.index.reader().documents()}
    relevant = {document for case in asked.cases.values() for document in case.question.documents}
    if missing := len(relevant - held):
        are, they = ("is", "it") if missing == 1 else ("are", "they")
        yield f"{missing} of {len(relevant)} relevant documents {are} not in its index; {they} cannot be found"


def _too_shallow(asked: Asked, measures: Sequence[Measure]) -> Iterator[str]:
    """Where the pipeline gives fewer documents than a metric looks at, the metric measures that limit."""
    depths = [measure.depth or 0 for measure in measures if measure.metric.group == "retrieval"]
    total = asked.system.pipeline.index.reader().stats().documents
    deepest = min(max(depths, default=0), total)
    counts = [len(asked.found[run.id].documents) for run in asked.runs if not run.failure]
    short = sum(count < deepest for count in counts)
    if deepest and short > len(counts) / 10:
        yield (
            f"{short} of {len(counts)} questions found fewer than {deepest} documents; "
            "metrics that deep need more chunks (--depth)"
        )
