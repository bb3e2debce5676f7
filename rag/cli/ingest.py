"""`rag ingest`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import JsonOption, PipelineOption, SetOption, note, open_pipeline

if TYPE_CHECKING:
    from rag.enrich.tally import Cost, EnrichmentReport
    from rag.pipeline.pipeline import Pipeline
    from rag.pipeline.report import IngestPlan, IngestReport

FAILED = 4


def ingest(
    source: Annotated[
        Path | None,
        typer.Option("--source", "-s", metavar="DIR|FILE", help="Index this folder or file, for `rag ask --source`."),
    ] = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would change, and what it costs.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents whose source has vanished.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Read and index every source again.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first source that cannot be read.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    json: JsonOption = False,
) -> None:
    """Bring the index up to date: only what changed is read; a file that cannot be read is reported and passed over."""
    with open_pipeline(pipeline, set_, source) as opened:
        if plan:
            _print_plan(opened.plan(force=force), json=json)
            return
        report = run(opened, prune=prune, force=force, strict=strict, quiet=quiet or json)
    name_failures(report)
    name_skipped(report)
    if json:
        from rag.cli.render import to_json

        typer.echo(to_json(report))
    else:
        typer.echo(summary(report))
    if report.failed:
        raise typer.Exit(FAILED)


def run(
    pipeline: Pipeline, *, prune: bool = False, force: bool = False, strict: bool = False, quiet: bool = False
) -> IngestReport:
    """Ingest, and show on standard error how far it is."""
    from rag.cli.ingest_progress import shown

    try:
        with shown(quiet) as progress:
            return pipeline.ingest(prune=prune, force=force, strict=strict, progress=progress)
    except KeyboardInterrupt:
        note("interrupted: what was committed stays, the next run goes on from there")
        raise


def name_failures(report: IngestReport) -> None:
    """Every source that could not be read and why, and chunks that were not enriched as asked, on standard error."""
    for failure in report.failed:
        note(f"failed: {failure.source}: {failure.reason}")
    reasons = Counter(failure.reason for failure in report.enrichment.failed)
    for reason, chunks in reasons.most_common():
        first = next(failure for failure in report.enrichment.failed if failure.reason == reason)
        more = f" and {chunks - 1} more" if chunks > 1 else ""
        note(f"not enriched as asked: {first.chunk_id}{more}: {reason}")


def name_skipped(report: IngestReport) -> None:
    """What connectors left out, by reason, and that nothing at all was found, on standard error."""
    if report.skipped:
        note(f"left out: {', '.join(f'{number} {reason}' for reason, number in report.skipped.items())}")
    if not (report.added or report.updated or report.unchanged or report.failed):
        note("nothing to index was found: see ingest.load, and its `include` and `exclude`")


def summary(report: IngestReport) -> str:
    """``12 added, 1 updated, 40 unchanged, 0 removed, 2 failed; 532 chunks (…) in 3.1 s``"""
    from rag.cli.render import count

    documents = ", ".join(
        f"{number} {word}"
        for number, word in (
            (report.added, "added"),
            (report.updated, "updated"),
            (report.unchanged, "unchanged"),
            (report.removed, "removed"),
            (len(report.failed), "failed"),
        )
        if number or word in ("added", "unchanged")
    )
    rate = f", {report.chunks / report.seconds:.0f} chunks/s" if report.chunks and report.seconds > 0 else ""
    share = report.truncated / report.chunks if report.chunks else 0.0
    chunks = (
        f"{count(report.chunks, 'chunk')} ({report.cached} from the cache, {share:.0%} truncated)"
        if report.chunks
        else ""
    )
    return f"{documents}{'; ' if chunks else ''}{chunks}{_enriched(report.enrichment)} in {report.seconds:.1f} s{rate}"


def _enriched(done: EnrichmentReport) -> str:
    """``; 40 enriched (30 from the cache, 12 requests, 5,120 + 940 tokens, 1 failed)``; empty if nothing was asked."""
    if not done.asked + done.cached:
        return ""
    from rag.cli.render import count

    usage = done.usage
    facts = [
        f"{done.cached} from the cache",
        count(usage.requests, "request"),
        f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens{' (estimated)' if usage.estimated else ''}",
        f"{len(done.failed)} failed",
    ]
    return f"; {done.asked + done.cached} enriched ({', '.join(facts)})"


def _print_plan(plan: IngestPlan, *, json: bool) -> None:
    if json:
        from rag.cli.render import to_json

        typer.echo(to_json(plan))
        return
    for sign, names in (("+", plan.added), ("~", plan.changed), ("-", plan.vanished)):
        for name in names:
            typer.echo(f"{sign} {name}")
    for failure in plan.failed:
        typer.echo(f"! {failure.source}: {failure.reason}")
    counts = f"{len(plan.added)} to add, {len(plan.changed)} to read again, {plan.unchanged} unchanged"
    typer.echo(f"{counts}, {len(plan.vanished)} vanished (removed with --prune)")
    if plan.enrichment is not None:
        typer.echo(_cost(plan.enrichment))


def _cost(cost: Cost) -> str:
    """``to enrich: 40 chunks, 10 requests (30 replies in the cache), about 5,120 prompt and at most ... tokens``"""
    from rag.cli.render import count

    requests = f"{count(cost.requests, 'request')} ({cost.cached} replies in the cache)"
    tokens = f"about {cost.prompt_tokens:,} prompt and at most {cost.completion_tokens:,} reply tokens"
    price = f", at most {cost.price:.4g} by the prices given" if cost.price is not None else ""
    return f"to enrich: {count(cost.chunks, 'chunk')}, {requests}, {tokens}{price}"
