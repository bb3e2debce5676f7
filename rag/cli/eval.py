"""`rag eval`"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.hints import options_given, with_options
from rag.cli.options import JsonOption, SetOption, note
from rag.cli.places import default_pipeline

if TYPE_CHECKING:
    from rag.evaluate.ask import Progress
    from rag.evaluate.datasets import Dataset
    from rag.evaluate.judge import Judge
    from rag.evaluate.report import EvalReport
    from rag.evaluate.systems import Candidate
    from rag.pipeline.pipeline import Pipeline
    from rag.pipeline.report import IngestReport

FAILED = 4


def evaluate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[PIPELINE]... DATASET",
            help="Pipelines, by file or name, then the set: a folder with corpus.jsonl, queries.jsonl and qrels.tsv, a "
            ".jsonl file of questions, or an id of ir_datasets. The first pipeline is the one the others are "
            "compared with; without any, ./pipeline.yaml or 'hybrid'.",
        ),
    ],
    set_: SetOption = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="NAME:PATH=VALUE",
            help="Also test the first pipeline with this change, as in rrf:ask.fuse.use=rrf. Repeatable; lines with "
            "one NAME make one pipeline.",
        ),
    ] = None,
    k: Annotated[str, typer.Option("-k", "--k", metavar="N,...", help="Cut-offs of metrics named without one.")] = "10",
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="NAME,...", help="As in ndcg@10,recall@100. Default: what suits the set."),
    ] = None,
    answers: Annotated[
        bool | None,
        typer.Option("--answers/--no-answers", help="Generate answers too. Default: where the set or a metric asks."),
    ] = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="Have the first pipeline's language model judge the answers.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only N questions, drawn at random by --seed.")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option("--queries", metavar="ID,...|FILE", help="Only these; a file has an id a line."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which qrels of a folder with several. Default: test.")] = "",
    depth: Annotated[
        int | None,
        typer.Option("--depth", min=1, metavar="N", help="Have the stages give at least N chunks."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", metavar="DIR", help="The index to use. Default: one under .ragloom/eval.")
    ] = None,
    ingest: Annotated[bool, typer.Option("--ingest/--no-ingest", help="Bring the index up to date first.")] = True,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", help="YAML, per million: model: {prompt: 1, completion: 3}."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the tests, the intervals and --limit.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Also write the report: .html or .json."),
    ] = None,
    show: Annotated[
        int, typer.Option("--show", min=0, metavar="N", help="Show the N questions that gained and lost most.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure pipelines on questions with known answers: quality, significance, time and cost, side by side.

    Exit code 4: it ran, but some questions failed and count as nothing found.
    """
    from rag.cli.render import to_json
    from rag.evaluate.costs import read_prices
    from rag.evaluate.run import run
    from rag.evaluate.systems import candidates, open_systems
    from rag.evaluate.table import to_text

    *sources, name = what
    if not sources and _names_a_pipeline(name):
        raise typer.BadParameter(f"{name} is a pipeline; the set of questions is missing behind it")
    cut_offs = _cut_offs(k)
    if out is not None and out.suffix.lower() not in (".html", ".json"):
        raise typer.BadParameter(f"expected a file that ends in .html or .json, got {out}", param_hint="--out")
    dataset = _dataset(name, split=split, queries=queries, limit=limit, seed=seed)
    wanted = candidates(sources or [default_pipeline()], changes=set_ or (), vary=vary or (), depth=depth)
    table = None if prices is None else read_prices(prices)
    with (
        _hints(wanted, dataset, index),
        open_systems(wanted, dataset, index=index, update=ingest, ingest=_ingest(quiet)) as systems,
        _bar(quiet) as progress,
    ):
        report = run(
            systems,
            dataset,
            metrics=[part for part in (metrics or "").split(",") if part.strip()],
            k=cut_offs,
            answers=answers,
            judge=_judge(systems[0].pipeline, seed) if judge else None,
            prices=table,
            seed=seed,
            progress=progress,
        )
    if out is not None:
        _write(out, report)
    typer.echo(to_json(report) if json else to_text(report, examples=show))
    if any(system.failures for system in report.systems):
        raise typer.Exit(FAILED)


@contextmanager
def _hints(wanted: Sequence[Candidate], dataset: Dataset, index: Path | None) -> Iterator[None]:
    """Say of an index that is not there what makes it: this command where the set brings documents, else `rag ingest`.

    With the options of the pipeline that asks it.
    """
    from rag.errors import IndexNotFoundError
    from rag.pipeline.spec import load_spec

    try:
        yield
    except IndexNotFoundError as error:
        if dataset.corpus is not None:
            error.hint = "leave --no-ingest out, and it is made of the set's documents"
            raise
        for candidate in wanted:
            path = index or load_spec(candidate.source, overrides=candidate.changes).spec.ingest.index.path
            if error.message.startswith(f"{path}: "):
                own = () if index is None else (f"ingest.index.path={index}",)
                error.hint = with_options(error.hint, options_given(candidate.source, [*candidate.changes, *own]))
                break
        raise


def _names_a_pipeline(name: str) -> bool:
    from rag.library import names

    return name.endswith((".yaml", ".yml")) or (name in names("pipelines") and not Path(name).exists())


def _cut_offs(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"expected whole numbers above 0, as in 5,10, got {text!r}", param_hint="-k")
    return list(dict.fromkeys(map(int, parts)))


def _dataset(name: str, *, split: str, queries: str | None, limit: int | None, seed: int) -> Dataset:
    from rag.evaluate.datasets import load_dataset

    dataset = load_dataset(name, split=split)
    if queries is not None:
        listed = Path(queries)
        ids = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else queries.split(",")
        dataset = dataset.only([stripped for line in ids if (stripped := line.strip())])
    return dataset if limit is None else dataset.sample(limit, seed=seed)


def _ingest(quiet: bool) -> Callable[[Pipeline, bool], IngestReport]:
    def ingest(pipeline: Pipeline, prune: bool) -> IngestReport:
        from rag.cli.ingest import name_failures, run, summary

        report = run(pipeline, prune=prune, quiet=quiet)
        name_failures(report)
        if report.added or report.updated or report.removed:
            note(f"indexed: {summary(report)}")
        return report

    return ingest


def _judge(pipeline: Pipeline, seed: int) -> Judge:
    from rag.errors import ConfigError
    from rag.evaluate.judge import Judge
    from rag.evaluate.systems import model_name

    model = pipeline.language_model
    if model is None:
        raise ConfigError(
            "--judge: the first pipeline has no language model",
            hint="set one: --set 'llm={use: openai, base_url: http://127.0.0.1:8000/v1, model: NAME}'",
        )
    spec = pipeline.spec.llm or pipeline.spec.ask.generate
    concurrency = getattr(spec, "concurrency", 1)
    return Judge(
        model,
        prompt=pipeline.prompt,
        embedder=pipeline.embedder,
        name=model_name(pipeline),
        seed=seed,
        concurrency=concurrency,
    )


def _write(path: Path, report: EvalReport) -> None:
    if path.suffix.lower() == ".json":
        from rag.cli.render import to_json

        text = to_json(report)
    else:
        from rag.evaluate.report_page import write_report

        text = write_report(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    note(f"wrote {path}")


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def show(progress: Progress) -> None:
            if progress.doing not in tasks:
                tasks[progress.doing] = bar.add_task(progress.doing, total=progress.total)
            bar.update(tasks[progress.doing], completed=progress.done, total=progress.total)

        yield show
