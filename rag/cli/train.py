"""`rag train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from rag.cli.options import JsonOption, SetOption, note, open_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.embed.base import EmbedderIdentity
    from rag.evaluate.datasets import Dataset
    from rag.pipeline.pipeline import Pipeline
    from rag.train.adapter import AdapterReport
    from rag.train.head import CaseSet, HeadReport
    from rag.train.router import RouterReport
    from rag.types import Scalar

    MakeCases = Callable[[Pipeline, Dataset], CaseSet]

Aggregate: TypeAlias = Literal["max", "mean"]

train = typer.Typer(
    name="train",
    help="Train small parts on questions with known answers; encoders and indexes stay as they are.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="A pipeline file, or a name that ships.")]
DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="A folder with queries.jsonl and qrels.tsv, of which the pipeline indexed the corpus."
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="The .safetensors file to make; one that is there is kept.")
]
SetsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET...",
        help="Sets to train on, as `rag eval` reads them; one that brings documents has an index under .ragloom/eval.",
    ),
]
TestOption = Annotated[
    list[str] | None,
    typer.Option("--test", metavar="DATASET", help="Another set, to judge on alone. Repeatable."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Decides the split and every draw.")]


@train.command()
def adapter(
    pipeline: PipelineArgument,
    dataset: DatasetArgument,
    out: OutOption,
    set_: SetOption = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="The rank of the change.")] = 64,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Times through the questions, at most.")] = 100,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Train a query adapter: a low-rank change of query vectors, for `ingest.embed.adapter`.

    Three fifths of the questions train, one decides when to stop, one is held out and judged before and after. Where
    nothing was gained, nothing is written and the exit code is 1.
    """
    from rag.cli.render import to_json
    from rag.embed.trained import exists
    from rag.evaluate.datasets import load_dataset
    from rag.train.adapter import AdapterOptions, train_adapter
    from rag.train.examples import Examples

    if out.exists():
        raise exists(out)
    with open_pipeline(pipeline, set_) as opened:
        examples = Examples(opened, load_dataset(dataset))
        trained, report = train_adapter(examples, AdapterOptions(rank=rank, epochs=epochs, seed=seed))
        if report.gained:
            about: dict[str, Scalar] = {"dataset": Path(dataset).name, "before": report.before, "after": report.after}
            trained.save(out, identity=examples.identity, about=about)
    typer.echo(to_json(report) if json else _summary(report, out))
    if not report.gained:
        raise typer.Exit(1)


@train.command()
def router(
    pipeline: PipelineArgument,
    datasets: Annotated[
        list[str],
        typer.Argument(metavar="DATASET...", help="Folders with queries.jsonl and qrels.tsv, all in the index."),
    ],
    expert: Annotated[
        list[Path], typer.Option("--expert", metavar="FILE", help="An adapter of `rag train adapter`. Repeatable.")
    ],
    out: OutOption,
    set_: SetOption = None,
    aggregate: Annotated[
        Aggregate, typer.Option("--aggregate", help="As the pipeline will: `max` or `mean` over an expert's pilots.")
    ] = "max",
    least_margin: Annotated[float, typer.Option("--least-margin", min=0, help="As the pipeline will.")] = 0.0,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Make a router over query adapters, for `ingest.embed: {use: routed}`.

    Four fifths of each set's questions show which expert answers which kind best, the rest are held out. Where routing
    is not better than the best of plain encoder and single experts, nothing is written and the exit code is 1.
    """
    from rag.cli.render import to_json
    from rag.embed.adapter import Adapter
    from rag.embed.trained import exists
    from rag.evaluate.datasets import load_dataset
    from rag.train.examples import Examples
    from rag.train.router import train_router

    if out.exists():
        raise exists(out)
    with open_pipeline(pipeline, set_) as opened:
        sets = [Examples(opened, load_dataset(dataset)) for dataset in datasets]
        identity = sets[0].identity
        experts = [Adapter.load(path, identity=identity) for path in expert]
        trained, report = train_router(sets, experts, aggregate=aggregate, least_margin=least_margin, seed=seed)
        if report.gained:
            names = " ".join(path.name for path in expert)
            about: dict[str, Scalar] = {"experts": names, "plain": report.plain, "routed": report.routed}
            trained.save(out, identity=identity, about=about)
    typer.echo(to_json(report) if json else _router_summary(report, expert, out))
    if not report.gained:
        raise typer.Exit(1)


@train.command()
def reranker(
    pipeline: PipelineArgument,
    datasets: SetsArgument,
    out: OutOption,
    test: TestOption = None,
    set_: SetOption = None,
    depth: Annotated[int, typer.Option("--depth", min=2, help="Candidates a question.")] = 50,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Also weigh MaxSim over token states, which encodes every candidate.")
    ] = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Train a reranking head: what each sign that speaks for a candidate is worth, for `{use: trained}`.

    Three fifths of each set's questions train, one decides how far to go, one is held out and judged before and after,
    as are the sets of --test. Where nothing was gained on what was held out, nothing is written and the exit code is 1.
    """
    from rag.evaluate.systems import candidates
    from rag.rerank.signs import SIGNS
    from rag.rerank.specs import LateInteractionSpec
    from rag.rerank.trained import KIND
    from rag.train.reranker import METRIC, WITHOUT_TOKENS, reranking_cases

    signs = SIGNS if tokens else WITHOUT_TOKENS

    def made(opened: Pipeline, dataset: Dataset) -> CaseSet:
        tokens = LateInteractionSpec().matches(opened.resources)
        return reranking_cases(opened, dataset, tokens, signs=signs, depth=depth)

    changes = candidates([pipeline], changes=set_ or (), depth=depth)[0].changes
    _train_head(
        pipeline, changes, datasets, test or (), out, made, signs, kind=KIND, metric=METRIC, seed=seed, json=json
    )


@train.command()
def compressor(
    pipeline: PipelineArgument,
    datasets: SetsArgument,
    out: OutOption,
    test: TestOption = None,
    set_: SetOption = None,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Chunks a question, from which sentences are taken.")] = 20,
    ratio: Annotated[
        float, typer.Option("--ratio", min=0.01, max=1, help="Share of their characters kept, where it is judged.")
    ] = 0.35,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Train a compression head: what each sign that speaks for a sentence is worth, for `{use: trained}`.

    What is needed is known from supporting facts, gold spans or answers of the sets. Questions are split, judged and
    the head written or not as by `rag train reranker`; the baseline is the compressor `hybrid`.
    """
    from rag.compress.trained import KIND, SIGNS
    from rag.evaluate.systems import candidates
    from rag.train.compressor import METRIC, compression_cases

    def made(opened: Pipeline, dataset: Dataset) -> CaseSet:
        return compression_cases(opened, dataset, keep=keep, ratio=ratio)

    changes = candidates([pipeline], changes=set_ or (), depth=keep)[0].changes
    _train_head(
        pipeline, changes, datasets, test or (), out, made, SIGNS, kind=KIND, metric=METRIC, seed=seed, json=json
    )


def _train_head(
    pipeline: str,
    changes: Sequence[str],
    datasets: Sequence[str],
    tests: Sequence[str],
    out: Path,
    make: MakeCases,
    signs: Sequence[str],
    *,
    kind: str,
    metric: str,
    seed: int,
    json: bool,
) -> None:
    from rag.cli.render import to_json
    from rag.embed.trained import exists
    from rag.train.head import train_head

    if out.exists():
        raise exists(out)
    made = [_cases(pipeline, changes, name, make) for name in [*datasets, *tests]]
    sets = [cases for cases, _ in made]
    head, report = train_head(sets[: len(datasets)], sets[len(datasets) :], signs=signs, metric=metric, seed=seed)
    if report.gained:
        names = " ".join(each.name for each in sets[: len(datasets)])
        head.save(out, kind=kind, identity=made[0][1], about={"datasets": names, "seed": seed})
    typer.echo(to_json(report) if json else _head_summary(report, out))
    if not report.gained:
        raise typer.Exit(1)


def _cases(pipeline: str, changes: Sequence[str], name: str, make: MakeCases) -> tuple[CaseSet, EmbedderIdentity]:
    from rag.evaluate.datasets import load_dataset
    from rag.evaluate.systems import Candidate, open_systems

    dataset = load_dataset(name)
    note(f"{dataset.name}: {len(dataset.questions)} questions")
    with open_systems([Candidate(name=dataset.name, source=pipeline, changes=tuple(changes))], dataset) as [system]:
        return make(system.pipeline, dataset), system.pipeline.embedder.identity


def _head_summary(report: HeadReport, out: Path) -> str:
    lines = [
        f"{report.training} questions trained, {report.validation} validated",
        f"{report.metric}, validation: {report.validation_before:.4f} before, {report.validation_after:.4f} after, "
        + ("no head is better" if report.ridge is None else f"ridge {report.ridge:g}"),
    ]
    for where, judged_sets in (("held out", report.held_out), ("unseen", report.unseen)):
        for judged in judged_sets:
            low, high = judged.interval
            lines.append(
                f"{report.metric}, {where}, {judged.name} ({judged.questions}): {judged.before:.4f} before, "
                f"{judged.after:.4f} after ({judged.after - judged.before:+.4f}, "
                f"95 % between {low:+.4f} and {high:+.4f}, p = {judged.p:.3f})"
            )
    lines += [f"weight of {name}: {weight:+.3f}" for name, weight in report.weights.items()]
    lines.append(f"{out} written" if report.gained else "not written: it gains nothing on held-out questions")
    return "\n".join(lines)


def _router_summary(report: RouterReport, experts: list[Path], out: Path) -> str:
    figures = {"no expert": report.plain, **dict(zip(map(str, experts), report.experts, strict=True))}
    figures |= {"routed": report.routed, "the best for each question": report.best}
    lines = [f"{report.training} questions gave {report.pilots} pilots, {report.held_out} held out"]
    lines += [f"nDCG@10 of dense retrieval, held out: {figure:.4f}  {name}" for name, figure in figures.items()]
    lines.append(f"{out} written" if report.gained else "not written: routing is not better than the best of these")
    return "\n".join(lines)


def _summary(report: AdapterReport, out: Path) -> str:
    low, high = report.interval
    lines = [
        f"{report.training} questions trained, {report.validation} validated, {report.held_out} held out",
        f"nDCG@10 of dense retrieval, validation: {report.validation_before:.4f} before, "
        f"{report.validation_after:.4f} after epoch {report.epoch} of {report.epochs}",
        f"nDCG@10 of dense retrieval, held out:   {report.before:.4f} before, {report.after:.4f} after "
        f"({report.after - report.before:+.4f}, 95 % between {low:+.4f} and {high:+.4f}, p = {report.p:.3f})",
        f"{report.seen:.0%} of the documents relevant to held-out questions are relevant to training questions too",
    ]
    if report.fresh_before is not None and report.fresh_after is not None:
        figures = f"{report.fresh_before:.4f} before, {report.fresh_after:.4f} after"
        lines.append(f"on the {report.fresh} held-out questions with none of these: {figures}")
    if report.gained:
        lines.append(f"{out} written; use it with --set ingest.embed.adapter={out}")
    else:
        lines.append("not written: it gains nothing on held-out questions")
    return "\n".join(lines)
