"""``rag cache``: the keys and values of chunks that a local language model keeps on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import JsonOption, PipelineOption, SetOption, note, open_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from rag.kv.specs import ReuseSpec
    from rag.kv.store.disk import DiskTier
    from rag.pipeline.pipeline import Pipeline

cache = typer.Typer(
    name="cache",
    help="Keys and values of chunks that a local language model keeps on disk (llm.reuse).",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@cache.command()
def stats(pipeline: PipelineOption = None, set_: SetOption = None, json: JsonOption = False) -> None:
    """Say what is kept, by model, and how much of the budget it takes."""
    from rag.cli.render import VERSION, to_json
    from rag.kv.store.index import CacheIndex

    with open_pipeline(pipeline, set_) as opened:
        reuse, path = _kept(opened)
    index = CacheIndex(path / "index.sqlite", model="", variants=reuse.variants)
    totals = index.totals() if index.path.exists() else {}
    index.close()
    size = sum(total.size for total in totals.values())
    if json:
        models = {
            name: {"caches": total.caches, "tokens": total.tokens, "bytes": total.size, "uses": total.hits}
            for name, total in totals.items()
        }
        typer.echo(to_json({"version": VERSION, "path": str(path), "budget": reuse.disk_mb << 20, "models": models}))
        return
    typer.echo(f"{path}: {_megabytes(size)} of {reuse.disk_mb} MB")
    for name, total in totals.items():
        counts = f"{total.caches:,} caches, {total.tokens:,} tokens, {_megabytes(total.size)}, {total.hits:,} uses"
        typer.echo(f"  {name}: {counts}")


@cache.command()
def prune(
    to: Annotated[int, typer.Option("--to", min=0, metavar="MB", help="Megabytes to leave; 0 removes everything.")],
    pipeline: PipelineOption = None,
    set_: SetOption = None,
) -> None:
    """Remove the least worthy caches: seldom used, cheap to compute again, large."""
    with open_pipeline(pipeline, set_) as opened:
        tier = _tier(opened)
    gone = tier.shrink(to << 20)
    tier.index.close()
    note(f"removed {gone:,} caches")


@cache.command()
def verify(pipeline: PipelineOption = None, set_: SetOption = None) -> None:
    """Check every cache against its checksum; what is damaged or unknown is removed, and computed again when needed."""
    with open_pipeline(pipeline, set_) as opened:
        tier = _tier(opened)
    found = tier.verify()
    tier.index.close()
    typer.echo(f"{found.intact:,} intact; removed: {found.damaged:,} damaged, {found.orphans:,} unknown files")


@cache.command()
def warm(
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Chunks a prompt.")] = 8,
) -> None:
    """Read all indexed chunks once, so that the first questions find them; those that are kept already cost little.

    Only for policies that read a chunk on its own (`none`, `first_k`, `hkvd`).
    """
    from rag.errors import ConfigError
    from rag.generate.prompt import FIELDS, render
    from rag.generate.specs import LlmSpec
    from rag.models.llm import Sampling
    from rag.models.sized import sized
    from rag.models.template import Template
    from rag.types import Evidence, Prompt

    with open_pipeline(pipeline, set_) as opened:
        reuse, _ = _kept(opened)
        if reuse.policy.use in ("full", "prefix", "cache_craft"):
            raise ConfigError(
                f"llm.reuse.policy: {reuse.policy.use} keeps chunks as they are read in a prompt; none can be warmed",
                hint="questions warm it",
            )
        generate = opened.spec.ask.generate
        if not isinstance(generate, LlmSpec):
            raise ConfigError(
                "ask.generate: the caches depend on the answer's prompt, and no language model writes the answer",
                hint="set `ask.generate: {use: llm}`",
            )
        llm = opened.resources.llm
        model = sized(llm)
        text = opened.resources.prompt(generate.prompt)
        template = Template.parse(text, name=generate.prompt, fields=FIELDS)
        reader = opened.index.reader()
        for start in range(0, reader.size, batch):
            chunks = reader.chunks(range(start, min(start + batch, reader.size)))
            evidence = tuple(
                Evidence(span=chunk.span, text=chunk.text, score=1.0, chunk_id=chunk.id, access=chunk.access)
                for chunk in chunks
            )
            room = model.window - generate.max_tokens
            messages, given = render(Prompt(question="?", evidence=evidence), template, tokens=room, count=model.count)
            if len(given) < len(evidence):
                raise ConfigError(f"--batch {batch}: the chunks do not fit into one prompt", hint="take a smaller one")
            llm.complete(messages, Sampling(max_tokens=1))
            note(f"{start + len(given):,} of {reader.size:,} chunks")


def _kept(pipeline: Pipeline) -> tuple[ReuseSpec, Path]:
    """The options of what is kept on disk, and where.

    Raises:
        ConfigError: nothing is.
    """
    from rag.errors import ConfigError

    reuse: ReuseSpec | None = getattr(pipeline.spec.llm, "reuse", None)
    if reuse is None or reuse.path is None:
        raise ConfigError(
            "the pipeline keeps no chunk caches on disk",
            hint="set `llm: {use: transformers, model: ..., reuse: {policy: {use: hkvd}, path: .ragloom/kv}}`",
        )
    return reuse, reuse.path


def _tier(pipeline: Pipeline) -> DiskTier:
    from importlib.util import find_spec

    from rag.errors import MissingExtraError

    if find_spec("torch") is None:
        raise MissingExtraError("torch", extra="hf", needed_for="rag cache")
    from rag.kv.store.disk import DiskTier

    reuse, path = _kept(pipeline)
    return DiskTier(path, reuse.disk_mb << 20, model="", variants=reuse.variants)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
