"""The page of an evaluation: figures with their intervals, what is significant, where the time goes, who gained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rag.evaluate import charts
from rag.evaluate.charts import number, signed
from rag.evaluate.markup import Markup, element, joined
from rag.evaluate.page import Cell, Head, group, page, quoted, row, table
from rag.evaluate.report import EvalReport, Metric, SystemResult

NONE = "\N{EN DASH}"


def write_report(report: EvalReport) -> str:
    """One self-contained file of HTML; every text of questions, answers and pipelines escaped."""
    made = ", ".join(f"{name} {value}" for name, value in report.environment.items())
    note = f"Made {report.made}; seed {report.seed}; {made}."
    return page(f"{report.dataset.name}: evaluation", *_body(report), note=note)


def headline(report: EvalReport) -> Metric | None:
    """The metric of the plots: nDCG@10 if there is one, else the first that every system has, question by question."""
    usable = [
        metric
        for metric in report.metrics
        if metric.by_question and all(system.results[metric.name].mean is not None for system in report.systems)
    ]
    return next((metric for metric in usable if metric.name == "nDCG@10"), usable[0] if usable else None)


def _body(report: EvalReport) -> Iterator[Markup]:
    data = report.dataset
    yield element("h1", f"{data.name}: evaluation")
    kinds = ((data.judged, "judged"), (data.unanswerable, "without an answer"), (data.unjudged, "not judged"))
    counts = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
    documents = "" if data.documents is None else f" over {data.documents:,} documents"
    yield element("p", f"{data.questions:,} questions{documents}: {counts}.", class_="soft")
    if report.notes:
        yield element("ul", *(element("li", note) for note in report.notes))
    yield element("h2", "Results")
    yield _results(report)
    metric = headline(report)
    if metric is not None:
        yield from _plots(report, metric)
    if len(report.systems) > 1:
        yield element("h2", "Compared with ", element("code", report.baseline.name))
        yield _comparisons(report)
    if metric is not None:
        for system in report.systems[1:]:
            yield from _gains(report, metric, system)
        yield element("h2", "Every question")
        yield _questions(report, metric)
    yield element("h2", "The pipelines")
    for system in report.systems:
        yield from _pipeline(system)


# ---- results


def _results(report: EvalReport) -> Markup:
    several = len(report.systems) > 1
    heads = [
        Head(name="metric", numeric=False),
        Head(name=f"{report.baseline.name} (baseline)" if several else report.baseline.name),
    ]
    heads += [Head(name=system.name) for system in report.systems[1:]]
    rows: list[Markup] = []
    for name, metrics in groupby(report.metrics, key=lambda metric: metric.group):
        rows += [group(name, len(heads)), *(_result(report, heads, metric) for metric in metrics)]
    rows += [group("cost", len(heads)), *_costs(report, heads)]
    baseline = report.baseline.name
    caption = "Mean over the questions, its 95 % interval under it; the best of a row is bold."
    if len(report.systems) > 1:
        caption += f" \N{BLACK UP-POINTING TRIANGLE} \N{BLACK DOWN-POINTING TRIANGLE}: better or worse than {baseline},"
        caption += " p < 0.05 by the paired randomisation test, adjusted by Holm over the systems."
    return table(heads, rows, caption=caption)


def _result(report: EvalReport, heads: Sequence[Head], metric: Metric) -> Markup:
    means = [system.results[metric.name].mean for system in report.systems]
    known = [mean for mean in means if mean is not None]
    best = max(known) if len(known) > 1 and max(known) > min(known) else None
    cells: list[str | Cell] = [element("span", metric.name, title=metric.meaning)]
    for system, mean in zip(report.systems, means, strict=True):
        result = report.system(system.name).results[metric.name]
        if mean is None:
            cells.append(Cell(shown=NONE))
            continue
        parts = [_mark(report, metric, system), f"{mean:.3f}"]
        if result.low is not None and result.high is not None:
            parts.append(element("span", f"{result.low:.3f} to {result.high:.3f}", class_="ci"))
        if result.failed:
            parts.append(element("span", f"{result.failed:,} not judged", class_="ci"))
        cells.append(Cell(shown=joined(*parts), value=mean, kind="best" if mean == best else ""))
    return row(heads, cells)


def _mark(report: EvalReport, metric: Metric, system: SystemResult) -> Markup:
    compared = report.comparison(metric.name, system.name)
    if compared is None or not compared.significant:
        return joined()
    up = compared.difference > 0
    sign = "\N{BLACK UP-POINTING TRIANGLE}" if up else "\N{BLACK DOWN-POINTING TRIANGLE}"
    said = f"significantly {'better' if up else 'worse'}, adjusted p = {_p(compared.p_holm)}"
    return joined(element("span", sign, class_="up" if up else "down", title=said, role="img", aria_label=said), " ")


def _costs(report: EvalReport, heads: Sequence[Head]) -> Iterator[Markup]:
    costs = [system.cost for system in report.systems]
    latencies = [cost.latency for cost in costs]
    yield row(heads, ["ms a question, median", *(f"{each.p50_ms:,.1f}" if each else NONE for each in latencies)])
    yield row(
        heads, ["ms a question, 95th percentile", *(f"{each.p95_ms:,.1f}" if each else NONE for each in latencies)]
    )
    for cut in dict.fromkeys(cut for cost in costs for cut in cost.read):
        counts = (f"{cost.read[cut]:,.0f}" if cut in cost.read else NONE for cost in costs)
        yield row(heads, [f"tokens to read {cut}", *counts])
    if any(cost.usage.requests for cost in costs):
        yield row(heads, ["prompt tokens", *(f"{cost.usage.prompt_tokens:,}" for cost in costs)])
        yield row(heads, ["reply tokens", *(f"{cost.usage.completion_tokens:,}" for cost in costs)])
        yield row(heads, ["requests", *(f"{cost.usage.requests:,}" for cost in costs)])
    if any(cost.judge.requests for cost in costs):
        yield row(heads, ["requests to the judge", *(f"{cost.judge.requests:,}" for cost in costs)])
    if any(cost.price is not None for cost in costs):
        yield row(heads, ["price", *(NONE if cost.price is None else f"{cost.price:,.4f}" for cost in costs)])
    if any(system.failures for system in report.systems):
        yield row(heads, ["questions that failed", *(f"{system.failures:,}" for system in report.systems)])


# ---- plots


def _plots(report: EvalReport, metric: Metric) -> Iterator[Markup]:
    points = []
    for system in report.systems:
        result, latency = system.results[metric.name], system.cost.latency
        if result.mean is not None and latency is not None:
            x, y = latency.p50_ms, result.mean
            points.append(charts.Point(name=system.name, x=x, y=y, low=result.low, high=result.high))
    if points:
        yield element("h2", "Quality against latency")
        title, x_label = f"{metric.name} against latency", "milliseconds a question, median"
        caption = "Up and to the left is better. Whiskers are 95 % intervals."
        plot = charts.scatter(points, title=title, x=x_label, y=metric.name)
        yield element("figure", plot, element("figcaption", caption))
    bars = [
        charts.Bar(name=system.name, parts=tuple(_stages(system))) for system in report.systems if system.cost.stages
    ]
    if bars:
        yield element("h2", "Where the time goes")
        caption = "Mean milliseconds a question in each stage."
        plot = charts.stacked(bars, title="Time of each stage", unit="ms")
        yield element("figure", plot, element("figcaption", caption))
        yield element("details", element("summary", "In numbers"), _stage_table(report))


def _stages(system: SystemResult) -> Iterator[tuple[str, float]]:
    for stage in system.cost.stages:
        yield f"{stage.stage}: {stage.use}", stage.latency.mean_ms


def _stage_table(report: EvalReport) -> Markup:
    heads = [Head(name="pipeline", numeric=False), Head(name="stage", numeric=False)]
    heads += [
        Head(name="component", numeric=False),
        *(Head(name=name) for name in ("mean ms", "median", "95th percentile")),
    ]
    rows = []
    for system in report.systems:
        for stage in system.cost.stages:
            figures = (stage.latency.mean_ms, stage.latency.p50_ms, stage.latency.p95_ms)
            cells = [Cell(shown=f"{value:,.2f}", value=value) for value in figures]
            rows.append(row(heads, [system.name, stage.stage, element("code", stage.use), *cells]))
    return table(heads, rows, sortable=True)


# ---- comparisons


def _comparisons(report: EvalReport) -> Markup:
    heads = [Head(name="metric", numeric=False), Head(name="pipeline", numeric=False), Head(name="difference")]
    heads += [Head(name="p", hint="paired randomisation test, two-sided"), Head(name="p (Holm)")]
    heads += [Head(name="effect", hint="mean difference over its standard deviation")]
    heads += [Head(name=name) for name in ("better", "worse", "equal")]
    rows = []
    for found in report.comparisons:
        interval = element("span", f"{signed(found.low)} to {signed(found.high)}", class_="ci")
        kind = ("up" if found.difference > 0 else "down") if found.significant else ""
        rows.append(
            row(
                heads,
                [
                    found.metric,
                    found.system,
                    Cell(shown=joined(signed(found.difference), interval), value=found.difference, kind=kind),
                    Cell(shown=_p(found.p), value=found.p),
                    Cell(shown=_p(found.p_holm), value=found.p_holm),
                    Cell(shown=NONE if found.effect is None else signed(found.effect), value=found.effect),
                    *(Cell(shown=f"{count:,}", value=count) for count in (found.wins, found.losses, found.ties)),
                ],
            )
        )
    caption = "Paired by question. Coloured: p (Holm) < 0.05."
    return table(heads, rows, caption=caption, sortable=True)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _gains(report: EvalReport, metric: Metric, system: SystemResult) -> Iterator[Markup]:
    differences = report.differences(metric.name, system.name)
    if not any(value for _, value in differences):
        return  # all equal, as the table says
    texts = {question.id: question.text for question in report.questions}
    yield element("h3", element("code", system.name), f": {metric.name} gained and lost")
    bars = [(texts[key], value) for key, value in differences]
    title = f"{metric.name} of {system.name} minus {report.baseline.name}, question by question"
    caption = f"{system.name} minus {report.baseline.name}; one bar a question. Point at one to read it."
    plot = charts.gains(bars, title=title, y=f"difference in {metric.name}")
    yield element("figure", plot, element("figcaption", caption))


# ---- questions


def _questions(report: EvalReport, metric: Metric) -> Markup:
    heads = [Head(name="question", numeric=False), *(Head(name=system.name) for system in report.systems)]
    heads += [Head(name=f"{system.name} gains") for system in report.systems[1:]]
    gained = {system.name: dict(report.differences(metric.name, system.name)) for system in report.systems[1:]}
    runs = {system.name: {run.id: run for run in system.runs} for system in report.systems}
    rows = []
    for question in report.questions:
        cells: list[str | Cell] = [quoted(question.text)]
        for system in report.systems:
            value = system.results[metric.name].values.get(question.id)
            run = runs[system.name].get(question.id)
            failed = element("span", "failed", class_="down", title=run.failure) if run and run.failure else None
            cells.append(Cell(shown=failed or (NONE if value is None else f"{value:.3f}"), value=value))
        for system in report.systems[1:]:
            change = gained[system.name].get(question.id)
            kind = "up" if change and change > 0 else "down" if change else ""
            cells.append(Cell(shown=NONE if change is None else signed(change), value=change, kind=kind))
        rows.append(row(heads, cells))
    caption = f"{metric.name} of each question. {metric.meaning}"
    found = table(heads, rows, caption=caption, sortable=True)
    return element("details", element("summary", f"{len(rows):,} questions"), found)


# ---- pipelines


def _pipeline(system: SystemResult) -> Iterator[Markup]:
    yield element("h3", element("code", system.name))
    if not system.pipeline:
        yield element("p", "made in Python")
    elif system.changes or system.pipeline != system.name:
        changes = [joined(", ", element("code", change)) for change in system.changes]
        yield element("p", element("code", system.pipeline), *changes)
    ingest = system.cost.ingest
    if ingest is not None:
        counts = f"{ingest.documents:,} documents, {ingest.unchanged:,} of them unchanged, {ingest.failed:,} failed"
        vectors = f"{ingest.chunks:,} chunks cut, {ingest.embedded:,} embedded, {ingest.cached:,} from the cache"
        size = f"{number(ingest.bytes / 1e6)} MB in {number(ingest.seconds)} s"
        yield element("p", f"Index: {counts}; {vectors}; {size}.", class_="soft")
    yield element("details", element("summary", "In full"), element("pre", system.yaml))
