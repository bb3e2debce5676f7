"""`rag graph`"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.config.spec import Spec
    from rag.pipeline.spec import Loaded


class Format(StrEnum):
    text = "text"
    mermaid = "mermaid"


@dataclass(frozen=True, slots=True)
class Step:
    """A stage with what it uses and what it gives on; `parallel` components stand side by side, others in a row."""

    name: str
    uses: Sequence[str]
    gives: str = ""
    parallel: bool = False


def graph(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|NAME]", help="Default: ./pipeline.yaml if it is there, else 'hybrid'."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="text, or mermaid for Markdown.")] = Format.text,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override one value. Repeatable.")
    ] = None,
) -> None:
    """Draw a pipeline: its stages, what each uses, and what flows between them."""
    from rag.cli.places import default_pipeline
    from rag.pipeline.spec import load_spec

    loaded = load_spec(pipeline or default_pipeline(), overrides=set_ or ())
    typer.echo(as_mermaid(loaded) if format_ is Format.mermaid else as_text(loaded))


def as_text(pipeline: Loaded) -> str:
    """A line a stage, components with the options that were written, and what flows between the stages."""
    lines = [f"llm  {use}" for use in _uses(pipeline, "llm")]
    for title, steps in (("ingest", _ingest(pipeline)), ("ask", _ask(pipeline))):
        lines += ["", title] if lines else [title]
        for step in steps:
            joint = " + " if step.parallel else ", then "
            lines.append(f"  {step.name:<10}{joint.join(step.uses)}".rstrip())
            if step.gives:
                lines.append(f"      | {step.gives}")
    return "\n".join(lines)


def as_mermaid(pipeline: Loaded) -> str:
    """A Mermaid flowchart: what happens at ingest, what happens when asking, and the index between them."""
    lines, edges = ["flowchart LR"], []
    for title, steps in (("ingest", _ingest(pipeline)), ("ask", _ask(pipeline))):
        lines.append(f"  subgraph {title}")
        before: list[str] = []
        flow = ""
        for step in steps:
            nodes = [f"{step.name}{at or ''}" for at in range(len(step.uses) or 1)]
            lines += [f"    {_node(node, step, use)}" for node, use in zip(nodes, step.uses or [""], strict=True)]
            first = nodes if step.parallel else nodes[:1]
            edges += [f"  {one} -->|{flow}| {other}" for one in before for other in first]
            if not step.parallel:
                edges += [f"  {one} --> {other}" for one, other in pairwise(nodes)]
            before, flow = (nodes if step.parallel else nodes[-1:]), step.gives
            if step.name == "retrieve":
                edges += [f"  index -.-> {node}" for node in nodes]
        lines.append("  end")
    for use in _uses(pipeline, "llm"):
        lines.append(f'  llm["llm<br>{_escaped(use)}"]')
        edges += [f"  llm -.-> {node}" for node in _asking(pipeline)]
    return "\n".join(lines + edges)


def _asking(pipeline: Loaded) -> Iterator[str]:
    """The boxes of the components that ask the language model."""
    from rag.config.dump import components

    for path, spec in components(pipeline.spec):
        if "llm" in spec.needs:
            _, stage, *at = path
            yield f"{stage}{at[0] if at and isinstance(at[0], int) and at[0] else ''}"


def _node(name: str, step: Step, use: str) -> str:
    left, right = ('[("', '")]') if step.name == "index" else ('["', '"]')
    return f"{name}{left}{step.name}{'<br>' if use else ''}{_escaped(use)}{right}"


def _ingest(pipeline: Loaded) -> Iterator[Step]:
    index = pipeline.spec.ingest.index
    yield Step("load", _uses(pipeline, "ingest.load") or ["nothing"], "files, pages, rows", parallel=True)
    yield Step("parse", [_options(pipeline, pipeline.spec.ingest.parse, "ingest.parse")], "documents")
    yield Step("chunk", _uses(pipeline, "ingest.chunk"), "chunks")
    if enrichers := _uses(pipeline, "ingest.enrich"):
        yield Step("enrich", enrichers, "chunks with context")
    if index.dense is not None:
        yield Step("embed", _uses(pipeline, "ingest.embed"), "chunks with vectors")
    searched = [f"{kind} {use}" for kind in ("dense", "sparse") for use in _uses(pipeline, f"ingest.index.{kind}")]
    yield Step("index", [f"{index.path}: {', '.join(searched)}"])


def _ask(pipeline: Loaded) -> Iterator[Step]:
    yield Step("question", [], "query")
    if transforms := _uses(pipeline, "ask.transform"):
        yield Step("transform", transforms, "queries")
    yield Step("retrieve", _uses(pipeline, "ask.retrieve"), "a ranking from each", parallel=True)
    yield Step("fuse", _uses(pipeline, "ask.fuse"), "one ranking")
    if rerankers := _uses(pipeline, "ask.rerank"):
        yield Step("rerank", rerankers, "ranking")
    if expanders := _uses(pipeline, "ask.expand"):
        yield Step("expand", expanders, "wider stretches")
    yield Step("compress", _uses(pipeline, "ask.compress"), "evidence")
    if triggers := _uses(pipeline, "ask.dynamic.trigger"):
        yield Step("dynamic", triggers, "evidence, and more of it where it is asked for")
    yield Step("generate", _uses(pipeline, "ask.generate"), "draft")
    yield Step("cite", _uses(pipeline, "ask.cite"), "cited answer")
    if pipeline.spec.ask.abstain is not None:
        signals = list(pipeline.spec.ask.abstain.signals)
        yield Step("abstain", signals, "the answer, unless it is in doubt", parallel=True)
    yield Step("answer", [])


def _uses(pipeline: Loaded, place: str) -> list[str]:
    """The components at one place of the pipeline, each with its written options."""
    from rag.config.dump import components, use_name
    from rag.config.problems import dotted

    found: list[str] = []
    for path, spec in components(pipeline.spec):
        if dotted(part for part in path if isinstance(part, str)) == place:
            options = _options(pipeline, spec, dotted(path))
            found.append(f"{use_name(spec)} ({options})" if options else use_name(spec))
    return found


def _options(pipeline: Loaded, spec: Spec, place: str) -> str:
    import json

    from rag.config.dump import plain, shown
    from rag.config.problems import DEFAULT

    told: list[str] = []
    for name, value in plain(spec, full=True).items():
        written = any(
            path == f"{place}.{name}" or path.startswith(f"{place}.{name}.")
            for path, origin in pipeline.origins.items()
            if origin != DEFAULT
        )
        if written and name != "use":
            safe = shown(value, (name,))
            told.append(f"{name}={safe if isinstance(safe, str) else json.dumps(safe, ensure_ascii=False)}")
    return ", ".join(told)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
