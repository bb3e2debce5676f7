"""`rag doctor`"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from rag.cli.options import IndexOfOption, JsonOption, PipelineOption, SetOption, open_pipeline

if TYPE_CHECKING:
    from rag.pipeline.pipeline import Pipeline

EXTRAS = {
    "hf": ("sentence_transformers", "transformers", "torch"),
    "chroma": ("chromadb",),
    "langchain": ("langchain_core",),
    "docs": ("rapidocr",),
    "vllm": ("vllm",),
}


NOTES = ("duplicate-chunk", "near-duplicate-chunk")
"""Kinds of problems that are none of the index: `ask.rerank: {use: dedupe}` hides them from answers."""

State: TypeAlias = Literal["ok", "absent", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `mend` is the command that mends it."""

    state: State
    what: str
    mend: str = ""


def doctor(
    source: IndexOfOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every document and vector: checksums, spans, duplicates.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what is installed, what is missing, and what is wrong with the index, each with the command that mends it."""
    findings = list(_packages())
    with open_pipeline(pipeline, set_, source) as opened:
        findings += _model(opened)
        findings += _index(opened, deep=deep)
    if json:
        from rag.cli.render import to_json

        typer.echo(to_json([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mend = f"\n         {finding.mend}" if finding.mend else ""
            typer.echo(f"{finding.state:<8} {finding.what}{mend}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _packages() -> Iterator[Finding]:
    import platform
    from importlib.metadata import version
    from importlib.util import find_spec

    yield Finding("ok", f"ragloom {version('ragloom')}, Python {platform.python_version()}")
    for extra, modules in EXTRAS.items():
        absent = [module for module in modules if find_spec(module) is None]
        if absent:
            yield Finding("absent", f"optional: {', '.join(absent)}", f'pip install "ragloom[{extra}]"')
        else:
            yield Finding("ok", f"optional: {', '.join(modules)}")


def _model(pipeline: Pipeline) -> Iterator[Finding]:
    from rag.errors import RagError

    spec = pipeline.spec.ingest.embed
    try:
        identity = pipeline.embedder.identity
    except RagError as error:
        yield Finding("problem", f"embedding model ({spec.use}): {error.message}", error.hint)
        return
    name = f"{identity.model} {identity.revision[:12]}"
    yield Finding("ok", f"embedding model {name}, {identity.dimension} dimensions, {identity.precision}")


def _index(pipeline: Pipeline, *, deep: bool) -> Iterator[Finding]:
    from rag.cli.render import count
    from rag.errors import RagError

    path = pipeline.spec.ingest.index.path
    try:
        if not pipeline.index.exists():
            yield Finding("absent", f"index {path}: there is none yet", "rag ingest")
            return
        if pipeline.spec.ingest.index.dense is not None:
            pipeline.index.check(pipeline.embedder.identity)
        reader = pipeline.index.reader()
        problems = list(reader.check(deep=deep))
    except RagError as error:
        yield Finding("problem", f"index {path}: {error.message}", error.hint)
        return
    held = f"{count(sum(1 for _ in reader.documents()), 'document')}, {count(reader.size, 'chunk')}"
    yield Finding("ok", f"index {path}: {held}, generation {reader.generation}")
    for problem in problems:
        state: State = "note" if problem.kind in NOTES else "problem"
        yield Finding(state, f"index {path}: {problem.where}: {problem.message}", problem.hint)
