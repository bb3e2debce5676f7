"""Running pipelines on an evaluation set, and putting together what came out."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rag.errors import ConfigError
from rag.evaluate.ask import Asked, Depth, Progress, ask_all
from rag.evaluate.compare import compared, summary
from rag.evaluate.costs import latency, price_of, stage_costs, tokens_read
from rag.evaluate.datasets import Dataset, load_dataset
from rag.evaluate.measures import JUDGED, Measure, chosen, key, suitable
from rag.evaluate.notes import notes
from rag.evaluate.report import (
    AskedQuestion,
    Cost,
    DatasetSummary,
    EvalReport,
    Metric,
    MetricResult,
    SystemResult,
)
from rag.evaluate.systems import System, candidates, model_name, open_systems
from rag.models.prices import Price
from rag.pipeline.pipeline import Pipeline
from rag.types import Usage

if TYPE_CHECKING:
    from rag.evaluate.judge import Judge, Judged

Pipelines: TypeAlias = "Pipeline | str | Path | Sequence[str | Path] | Mapping[str, Pipeline]"


def evaluate(
    pipelines: Pipelines,
    dataset: Dataset | str | Path,
    *,
    metrics: Sequence[str] = (),
    k: Sequence[int] = (10,),
    answers: bool | None = None,
    judge: Judge | None = None,
    prices: Mapping[str, Price] | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> EvalReport:
    """Run one or more pipelines on an evaluation set; the first is the baseline the others are compared with.

    Retrieval metrics run `Pipeline.search`; answers are generated only where they are asked for, or where the set has
    nothing but answers to compare with. The systems take turns question by question, so that a load on the machine
    meets all of them. A question that fails counts as nothing found, and is reported.

    Args:
        pipelines: names or paths, opened over an index of the set's documents; or pipelines that are open, by the
            name they have in the report, asked as they are.
        dataset: a set, or what `load_dataset` reads.
        metrics: by name, as ``ndcg@10``; those that suit the set if empty.
        k: cut-offs of metrics named without one.
        answers: whether to generate answers; ``None`` decides by the metrics and the set.
        judge: adds the metrics that a language model judges.
        prices: of a million tokens, by the name of the pipeline's model, ``*`` for any.
        seed: of the tests and intervals.
        progress: called after each question.

    Raises:
        ConfigError: a pipeline, the set or a metric's name is wrong, or an index does not hold the set's documents.
        RagError: five questions in a row failed for one system; the last one's error.

    >>> report = evaluate(["hybrid", "sparse"], "data/cranfield")                        # doctest: +SKIP
    >>> report.baseline.results["nDCG@10"].mean                                          # doctest: +SKIP
    """
    dataset = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    with _systems(pipelines, dataset) as systems:
        return run(
            systems,
            dataset,
            metrics=metrics,
            k=k,
            answers=answers,
            judge=judge,
            prices=prices,
            seed=seed,
            progress=progress,
        )


def run(
    systems: Sequence[System],
    dataset: Dataset,
    *,
    metrics: Sequence[str] = (),
    k: Sequence[int] = (10,),
    answers: bool | None = None,
    judge: Judge | None = None,
    prices: Mapping[str, Price] | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> EvalReport:
    """`evaluate` for systems that are open."""
    if judge is not None and answers is None:
        answers = True
    to_judge = _to_judge(metrics, judge)
    measures, write = _measures(dataset, metrics, k=k, answers=answers)
    asked = ask_all(systems, dataset, depth=_depth(measures), write=write, progress=progress)
    judged = [
        None if judge is None else judge.judge(each, [metric.name for metric in to_judge], progress=progress)
        for each in asked
    ]
    results = [
        _result(each, measures, of_judge, prices=prices or {}, seed=seed)
        for each, of_judge in zip(asked, judged, strict=True)
    ]
    columns = _columns(measures, to_judge, results)
    kinds = [question.kind for question in dataset.questions]
    return EvalReport(
        dataset=DatasetSummary(
            name=dataset.name,
            path=dataset.path,
            documents=systems[0].pipeline.index.reader().stats().documents if dataset.corpus else None,
            questions=len(kinds),
            judged=kinds.count("judged"),
            unanswerable=kinds.count("unanswerable"),
            unjudged=kinds.count("unjudged"),
        ),
        questions=tuple(AskedQuestion(id=q.id, text=q.text, kind=q.kind) for q in dataset.questions),
        metrics=columns,
        systems=tuple(results),
        comparisons=tuple(compared(columns, results, seed=seed)),
        notes=tuple(notes(dataset, asked, measures, results, judge="" if judge is None else judge.name)),
        seed=seed,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=_environment(judge),
    )


@contextmanager
def _systems(pipelines: Pipelines, dataset: Dataset) -> Iterator[list[System]]:
    if isinstance(pipelines, Pipeline):
        yield [System(name="pipeline", pipeline=pipelines)]
    elif isinstance(pipelines, Mapping):
        yield [System(name=name, pipeline=pipeline) for name, pipeline in pipelines.items()]
    else:
        sources = [pipelines] if isinstance(pipelines, str | Path) else pipelines
        with open_systems(candidates([str(source) for source in sources]), dataset) as systems:
            yield systems


def _to_judge(names: Sequence[str], judge: Judge | None) -> Sequence[Metric]:
    """The judged metrics among the names; with a judge and none of them named, all.

    Raises:
        ConfigError: one is named and there is no judge.
    """
    wanted = {key(name) for name in names}
    found = [metric for metric in JUDGED if key(metric.name) in wanted]
    if judge is None and found:
        raise ConfigError(f"{found[0].name} needs a judge", hint="--judge, or judge=Judge(...)")
    return found or (JUDGED if judge is not None else ())


def _measures(
    dataset: Dataset, names: Sequence[str], *, k: Sequence[int], answers: bool | None
) -> tuple[list[Measure], bool]:
    """The measures that apply to at least one question, and whether answers have to be generated.

    Raises:
        ConfigError: a metric that was asked for applies to no question, or needs answers that are not to be generated.
    """
    if not names:
        nothing_else = not any(question.relevant or question.quotes for question in dataset.questions)
        write = nothing_else if answers is None else answers
        return chosen(suitable(dataset, answers=write), k=k), write
    judged = {key(metric.name) for metric in JUDGED}
    measures = chosen([name for name in names if key(name) not in judged], k=k)
    for measure in measures:
        if not any(map(measure.applies, dataset.questions)):
            raise ConfigError(f"{measure.metric.name}: the set {dataset.name} does not say what is right for it")
        if measure.answers and answers is False:
            raise ConfigError(f"{measure.metric.name} needs answers, and none are to be generated")
    return measures, bool(answers) or any(measure.answers for measure in measures)


def _depth(measures: Sequence[Measure]) -> Depth:
    """How much of a ranking the measures look at."""

    def deepest(of: Sequence[Measure]) -> int | None:
        depths = [measure.depth for measure in of if not measure.answers]
        return None if None in depths else max((depth for depth in depths if depth is not None), default=0)

    chunks = [measure for measure in measures if _reads(measure)]
    return Depth(documents=deepest(measures), chunks=deepest(chunks))


def _reads(measure: Measure) -> bool:
    """Whether it looks at chunks, not only at their documents."""
    return measure.metric.group in ("spans", "context")


def _result(
    asked: Asked, measures: Sequence[Measure], judged: Judged | None, *, prices: Mapping[str, Price], seed: int
) -> SystemResult:
    system = asked.system
    results = {measure.metric.name: _scored(measure, asked, seed=seed) for measure in measures}
    if judged is not None:
        for name, values in judged.values.items():
            results[name] = summary(values, failed=judged.failed.get(name, 0), seed=seed)
    times = [run.milliseconds for run in asked.runs if not run.failure]
    price = price_of(model_name(system.pipeline), prices)
    return SystemResult(
        name=system.name,
        pipeline=system.source,
        changes=system.changes,
        yaml=system.pipeline.spec.to_yaml(full=True),
        results=results,
        runs=tuple(asked.runs),
        cost=Cost(
            latency=latency(times) if times else None,
            stages=stage_costs(asked.traces),
            usage=asked.usage,
            judge=Usage() if judged is None else judged.usage,
            price=None if price is None else price.of(asked.usage),
            ingest=system.ingest,
            read=tokens_read(
                [asked.found[run.id].chunks for run in asked.runs if not run.failure],
                sorted({measure.depth for measure in measures if _reads(measure) and measure.depth is not None}),
                system.pipeline.embedder.tokenizer.count,
            ),
        ),
    )


def _scored(measure: Measure, asked: Asked, *, seed: int) -> MetricResult:
    """One metric over the questions it applies to."""
    cases = [case for case in asked.cases.values() if measure.applies(case.question)]
    if measure.whole is not None:
        return MetricResult(mean=measure.whole([(case, asked.found[case.question.id]) for case in cases]))
    values = {case.question.id: measure.score(case, asked.found[case.question.id]) for case in cases}
    return summary(values, seed=seed)


def _columns(
    measures: Sequence[Measure], judged: Sequence[Metric], results: Sequence[SystemResult]
) -> tuple[Metric, ...]:
    columns = [measure.metric for measure in measures]
    return (*columns, *(metric for metric in judged if any(metric.name in result.results for result in results)))


def _environment(judge: Judge | None) -> dict[str, str]:
    found = {} if judge is None else {"judge": judge.name or type(judge.verdicts.model).__name__}
    return {
        "ragloom": version("ragloom"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count() or 1),
        **found,
    }
