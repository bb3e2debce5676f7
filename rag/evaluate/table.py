"""A report as plain text, for a terminal or a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rag.evaluate.report import EvalReport, SystemResult

NONE = "–"


def to_text(report: EvalReport, *, examples: int = 0) -> str:
    """Quality, comparison and cost, each a table; then the notes.

    With `examples`, so many questions that gained and lost most, on the first metric, for each compared system.
    """
    asked = report.dataset
    kinds = [(asked.judged, "judged"), (asked.unanswerable, "unanswerable"), (asked.unjudged, "unjudged")]
    counts = ", ".join(f"{number} {word}" for number, word in kinds if number)
    parts = [f"{asked.name}: {asked.questions} questions ({counts})", _quality(report)]
    if report.comparisons:
        parts.append(_comparisons(report))
        parts += [_examples(report, system, examples) for system in report.systems[1:] if examples]
    parts.append(_costs(report))
    if report.notes:
        parts.append("\n".join(f"note: {note}" for note in report.notes))
    return "\n\n".join(parts)


def _quality(report: EvalReport) -> str:
    """A row a metric, a column a system: the mean and half its interval; ``*`` differs from the first, p < 0.05."""
    rows = [["", *(system.name for system in report.systems)]]
    for metric in report.metrics:
        row = [metric.name]
        for system in report.systems:
            result = system.results.get(metric.name)
            if result is None or result.mean is None:
                row.append(NONE)
                continue
            spread = " " * len(" ±0.000")
            if result.low is not None and result.high is not None:
                spread = f" ±{(result.high - result.low) / 2:.3f}"
            found = report.comparison(metric.name, system.name)
            row.append(f"{result.mean:.4f}{spread}{' *' if found is not None and found.significant else '  '}")
        rows.append(row)
    return _table(rows)


def _comparisons(report: EvalReport) -> str:
    rows = [
        [f"against {report.baseline.name}", "", "difference", "95 % interval", "p (Holm)", "wins", "losses", "ties"]
    ]
    for found in report.comparisons:
        rows.append(
            [
                found.system,
                found.metric,
                f"{found.difference:+.4f}",
                f"{found.low:+.4f} .. {found.high:+.4f}",
                f"{found.p_holm:.4f}",
                str(found.wins),
                str(found.losses),
                str(found.ties),
            ]
        )
    return _table(rows, left=2)


def _examples(report: EvalReport, system: SystemResult, count: int) -> str:
    metric = next(metric.name for metric in report.metrics if metric.by_question)
    moved = [(question, change) for question, change in report.differences(metric, system.name) if change]
    shown = moved if len(moved) <= 2 * count else moved[:count] + moved[-count:]
    rows = [
        [f"{change:+.4f}", question, textwrap.shorten(report.text(question), 80, placeholder=" …")]
        for question, change in shown
    ]
    return _table([[f"{metric}, {system.name}", "id", "question"], *rows], left=3)


def _costs(report: EvalReport) -> str:
    """What a question takes, whole and by stage, in milliseconds; then tokens, money and ingest where there are any."""
    rows = [["milliseconds", "", "p50", "p95", "mean"]]
    for system in report.systems:
        if system.cost.latency is None:
            continue
        whole = system.cost.latency
        rows.append([system.name, "question", *_milliseconds(whole.p50_ms, whole.p95_ms, whole.mean_ms)])
        for stage in system.cost.stages:
            times = stage.latency
            name = f"  {stage.stage} {stage.use}"
            rows.append(["", name, *_milliseconds(times.p50_ms, times.p95_ms, times.mean_ms)])
    lines = [_table(rows, left=2)]
    lines += [f"{system.name}: {fact}" for system in report.systems for fact in _facts(system)]
    return "\n".join(lines)


def _facts(system: SystemResult) -> Iterator[str]:
    cost = system.cost
    for usage, who in ((cost.usage, "language model"), (cost.judge, "judge")):
        if usage.requests:
            yield f"{who}: {usage.requests} requests, {usage.prompt_tokens} + {usage.completion_tokens} tokens"
    if cost.read:
        yield "tokens of the first chunks: " + ", ".join(f"{cut} {mean:.0f}" for cut, mean in cost.read.items())
    if cost.price is not None:
        yield f"price: {cost.price:.4f}"
    if cost.ingest is not None:
        done = cost.ingest
        yield (
            f"index: {done.documents} documents ({done.unchanged} unchanged), "
            f"{done.embedded} chunks embedded, {done.cached} from the cache, {done.bytes / 1e6:.1f} MB"
        )


def _milliseconds(*values: float) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Columns of equal width, the first `left` flush left, the others flush right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
