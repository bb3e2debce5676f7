"""`rag doctor`"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.findings import Finding
from rag.cli.hints import command_of, options_given, with_options
from rag.cli.options import IndexOfOption, JsonOption, PipelineOption, SetOption, open_pipeline

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.pipeline.pipeline import Pipeline

EXTRAS = {
    "hf": ("sentence_transformers", "transformers", "torch"),
    "chroma": ("chromadb",),
    "langchain": ("langchain_core",),
    "docs": ("rapidocr",),
    "vllm": ("vllm",),
    "eval": ("ir_datasets",),
    "schema": ("jsonschema",),
    "seismic": ("seismic",),
}


NOTES = ("duplicate-chunk", "near-duplicate-chunk")
"""Kinds of problems that are none of the index: `ask.rerank: {use: dedupe}` hides them from answers."""


def doctor(
    source: IndexOfOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Also read every document and vector: checksums, spans, truncation, near-duplicates."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what is installed and what is missing, whether the model server answers, and what is wrong with the index.

    Each with the command that mends it.
    """
    from rag.errors import ConfigError

    findings = list(_packages())
    options = options_given(pipeline, set_, source)
    try:
        with open_pipeline(pipeline, set_, source) as opened:
            model = _model(opened)
            found = [model, *_language_model(opened), *_index(opened, deep=deep, embedded=model.state == "ok")]
    except ConfigError as error:
        findings.append(Finding("problem", f"pipeline: {error.message}", error.hint))
    else:
        findings += [replace(each, mend=command_of(with_options(each.mend, options))) for each in found]
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


def _model(pipeline: Pipeline) -> Finding:
    from rag.errors import RagError

    spec = pipeline.spec.ingest.embed
    try:
        identity = pipeline.embedder.identity
    except RagError as error:
        return Finding("problem", f"embedding model ({spec.use}): {error.message}", error.hint)
    name = f"{identity.model} {identity.revision[:12]}"
    return Finding("ok", f"embedding model {name}, {identity.dimension} dimensions, {identity.precision}")


def _language_model(pipeline: Pipeline) -> Iterator[Finding]:
    from rag.models.openai_specs import OpenAIModelSpec

    if isinstance(pipeline.spec.llm, OpenAIModelSpec):
        from rag.cli.served import served

        yield served(pipeline.spec.llm)


def _index(pipeline: Pipeline, *, deep: bool, embedded: bool) -> Iterator[Finding]:
    """`embedded` says whether the embedding model is there: what compares the index with it is left out if not."""
    from rag.cli.render import count
    from rag.errors import RagError

    path = pipeline.spec.ingest.index.path
    try:
        if not pipeline.index.exists():
            yield Finding("absent", f"index {path}: there is none yet", "rag ingest")
            return
        compared = embedded and pipeline.spec.ingest.index.dense is not None
        if compared:
            pipeline.index.check(pipeline.embedder.identity)
        reader = pipeline.index.reader()
        problems = list(reader.check(deep=deep))
        truncated = list(_truncated(pipeline, reader)) if deep and compared else []
    except RagError as error:
        message = error.message.removeprefix(f"{path}: ")
        yield Finding("problem", f"index {path}: {message}", error.hint)
        return
    held = f"{count(sum(1 for _ in reader.documents()), 'document')}, {count(reader.size, 'chunk')}"
    yield Finding("ok", f"index {path}: {held}, generation {reader.generation}")
    for problem in problems:
        what = f"index {path}: {problem.where}: {problem.message}"
        if problem.kind in NOTES:
            yield Finding("note", what, "ask.rerank: [{use: dedupe}] shows one of them")
        else:
            yield Finding("problem", what, problem.hint)
    yield from truncated


def _truncated(pipeline: Pipeline, reader: Reader) -> Iterator[Finding]:
    """Whether every chunk, with what enrichment put before it, fits the encoder's window."""
    from rag.cli.render import count
    from rag.embed.base import InDocument

    if isinstance(pipeline.embedder, InDocument):
        return  # whole documents are embedded
    tokenizer = pipeline.embedder.tokenizer
    where = f"index {pipeline.spec.ingest.index.path}"
    over = 0
    for document in reader.documents():
        counts = tokenizer.count([chunk.indexed_text for chunk in reader.chunks_of(document.id)])
        over += sum(tokens > tokenizer.max_tokens for tokens in counts)
    window = f"the encoder's window of {tokenizer.max_tokens} tokens"
    if over:
        yield Finding("problem", f"{where}: {count(over, 'chunk')} longer than {window}", "`rag rebuild`")
    else:
        yield Finding("ok", f"{where}: no chunk is truncated, all fit {window}")
