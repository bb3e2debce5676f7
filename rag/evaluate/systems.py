"""The pipelines under test: which ones, and each opened over an index that holds the set's documents."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from rag.config.dump import plain
from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset
from rag.evaluate.report import IngestCost
from rag.index.cache import NAME as EMBEDDINGS
from rag.pipeline.pipeline import Pipeline
from rag.pipeline.spec import PipelineSpec, load_spec

if TYPE_CHECKING:
    from rag.pipeline.report import IngestReport

logger = logging.getLogger(__name__)

Ingest = Callable[[Pipeline, bool], "IngestReport"]
"""Brings a pipeline's index up to date; the flag says whether to prune. For a progress bar, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pipeline to test: where it is read from, and the changes on top."""

    name: str
    source: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """An opened pipeline under test."""

    name: str
    pipeline: Pipeline
    source: str = ""
    changes: tuple[str, ...] = ()
    ingest: IngestCost | None = None


def candidates(
    sources: Sequence[str], *, changes: Sequence[str] = (), vary: Sequence[str] = (), depth: int | None = None
) -> list[Candidate]:
    """What to test: every source with the `changes`, then one more for each variation of the first source.

    Args:
        sources: paths or names of pipelines.
        vary: ``NAME:ask.fuse.use=rrf``; lines with the same name change the same variation. Without a name, the change
            is the name.
        depth: have every retriever and the fuser give at least so many chunks.

    Raises:
        ConfigError: a line is something else, or two candidates have one name.
    """
    names = _short_names(sources)
    found = [
        Candidate(name=name, source=source, changes=tuple(changes)) for name, source in zip(names, sources, strict=True)
    ]
    variations: dict[str, list[str]] = {}
    for line in vary:
        name, change = _named_change(line)
        variations.setdefault(name, []).append(change)
    for name, more in variations.items():
        found.append(Candidate(name=name, source=sources[0], changes=(*changes, *more)))
    taken = [candidate.name for candidate in found]
    for name in taken:
        if taken.count(name) > 1:
            raise ConfigError(f"two pipelines are called {name!r}", hint="name one: --vary NAME:path=value")
    return found if depth is None else [_deepened(candidate, depth) for candidate in found]


@contextmanager
def open_systems(
    wanted: Sequence[Candidate],
    dataset: Dataset,
    *,
    index: Path | None = None,
    cache: Path = Path(".ragloom/eval"),
    update: bool = True,
    ingest: Ingest = lambda pipeline, prune: pipeline.ingest(prune=prune),
) -> Iterator[list[System]]:
    """Open every candidate over the set's documents, and close them all at the end.

    Where the set brings documents, each way of ingesting has an index of its own under `cache`, found again by the
    next run; a new one takes over the vectors that an older one has computed. Else a pipeline's own index is used.

    Args:
        index: the index to use instead; all candidates must ingest alike, and it may hold no other documents.
        update: whether to ingest at all.

    Raises:
        ConfigError: a pipeline is wrong, or `index` does not fit.
        StoreError: an index is missing or was made by another model.
    """
    with ExitStack() as stack:
        systems: list[System] = []
        costs: dict[Path, IngestCost] = {}
        specs = [load_spec(candidate.source, overrides=candidate.changes).spec for candidate in wanted]
        if index is not None and len({_ingest_options(spec) for spec in specs}) > 1:
            raise ConfigError("--index: the pipelines ingest differently, so one index cannot serve them all")
        for candidate, spec in zip(wanted, specs, strict=True):
            own: list[str] = []
            if dataset.corpus is not None:
                path = index or _index_path(cache, dataset, spec)
                own = [
                    f"ingest.load={json.dumps([{'use': 'rows', 'path': str(dataset.corpus)}])}",
                    f"ingest.index.path={json.dumps(str(path))}",
                ]
            elif index is not None:
                own = [f"ingest.index.path={json.dumps(str(index))}"]
            pipeline = stack.enter_context(Pipeline.from_yaml(candidate.source, overrides=[*candidate.changes, *own]))
            cost = None
            if dataset.corpus is not None and update:
                place = pipeline.index.path
                if place in costs:
                    cost = _prepared(pipeline, costs[place])
                else:
                    cost = _ingested(pipeline, ingest, shared=index is not None)
                costs[place] = replace(cost, unchanged=cost.documents, chunks=0, embedded=0, cached=0, seconds=0.0)
            systems.append(
                System(
                    name=candidate.name,
                    pipeline=pipeline,
                    source=candidate.source,
                    changes=candidate.changes,
                    ingest=cost,
                )
            )
        yield systems


def model_name(pipeline: Pipeline) -> str:
    """The name of the pipeline's language model; empty where its spec has none."""
    spec = pipeline.spec.llm or pipeline.spec.ask.generate
    model = getattr(spec, "model", "")
    return model if isinstance(model, str) else ""


def _ingested(pipeline: Pipeline, ingest: Ingest, *, shared: bool) -> IngestCost:
    if shared:
        strangers = pipeline.plan().vanished if pipeline.index.exists() else ()
        if strangers:
            raise ConfigError(
                f"{pipeline.index.path}: the index holds {len(strangers)} documents that are not of the set, "
                f"such as {strangers[0]!r}",
                hint="leave --index out, or name a folder that holds this set alone",
            )
    elif not pipeline.index.exists():
        _take_over_vectors(pipeline.index.path)
    report = ingest(pipeline, not shared)
    return IngestCost(
        documents=report.added + report.updated + report.unchanged,
        unchanged=report.unchanged,
        failed=len(report.failed),
        chunks=report.chunks,
        embedded=report.embedded,
        cached=report.cached,
        seconds=report.seconds,
        bytes=_bytes(pipeline.index.path),
    )


def _prepared(pipeline: Pipeline, shared: IngestCost) -> IngestCost:
    """What it costs to add what this pipeline alone reads to an index that another one has brought up to date."""
    started = perf_counter()
    pipeline.prepare()
    return replace(shared, seconds=perf_counter() - started, bytes=_bytes(pipeline.index.path))


def _bytes(index: Path) -> int:
    return sum(path.stat().st_size for path in index.rglob("*") if path.is_file())


def _take_over_vectors(path: Path) -> None:
    """Give a new index the embedding cache of the newest index of the same set: it goes by content and model."""
    siblings = [file for file in path.parent.glob(f"*/{EMBEDDINGS}") if file.parent != path]
    if not siblings:
        return
    newest = max(siblings, key=lambda file: file.stat().st_mtime)
    path.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(newest)) as source, closing(sqlite3.connect(path / EMBEDDINGS)) as target:
        source.backup(target)
    logger.info("took over the vectors of %s", newest.parent)


def _index_path(cache: Path, dataset: Dataset, spec: PipelineSpec) -> Path:
    """One folder a set, in it one a way of ingesting."""
    assert dataset.corpus is not None
    name = re.sub(r"[^\w.-]+", "-", dataset.name) or "set"
    return cache / f"{name}-{_digest(str(dataset.corpus.resolve()))}" / _digest(_ingest_options(spec))


def _ingest_options(spec: PipelineSpec) -> str:
    """Everything that decides what an index holds and how it is searched; not where it lies or what is loaded."""
    options = plain(spec.ingest, full=True)
    options.pop("load", None)
    index = options.get("index")
    if isinstance(index, dict):
        options["index"] = {name: value for name, value in index.items() if name != "path"}
    return json.dumps(options, sort_keys=True)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=4).hexdigest()


def _short_names(sources: Sequence[str]) -> list[str]:
    """The stem of each file; its path where two have the same stem."""
    stems = [Path(source).stem if source.endswith((".yaml", ".yml")) else source for source in sources]
    return [source if stems.count(stem) > 1 else stem for stem, source in zip(stems, sources, strict=True)]


def _named_change(line: str) -> tuple[str, str]:
    """``rrf:ask.fuse.use=rrf`` is ("rrf", "ask.fuse.use=rrf"); a colon behind the first ``=`` belongs to the value."""
    path, equals, value = line.partition("=")
    name, colon, changed = path.rpartition(":")
    if not equals or not (changed or path).strip():
        raise ConfigError(f"--vary {line}: expected NAME:path=value, as in rrf:ask.fuse.use=rrf")
    change = f"{changed if colon else path}={value}"
    return (name.strip() if colon and name.strip() else change), change


def _deepened(candidate: Candidate, depth: int) -> Candidate:
    """The candidate with every first-stage `k` and the fuser's `keep` raised to at least `depth`."""
    ask = load_spec(candidate.source, overrides=candidate.changes).spec.ask
    more = [
        f"ask.retrieve.{at}.k={depth}"
        for at, retriever in enumerate(ask.retrieve)
        if isinstance(k := getattr(retriever, "k", None), int) and k < depth
    ]
    if isinstance(keep := getattr(ask.fuse, "keep", None), int) and keep < depth:
        more.append(f"ask.fuse.keep={depth}")
    return replace(candidate, changes=(*candidate.changes, *more))
