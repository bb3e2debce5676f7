"""What a pipeline is, as one file or one object says it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from rag import library
from rag.chunk.specs import ChunkerSpec, RecursiveSpec
from rag.cite.specs import CheckedSpec, CiterSpec
from rag.compress.specs import CompressorSpec, WholeChunksSpec
from rag.config import dump, layers
from rag.config.messages import explain, mistyped, problem_at
from rag.config.problems import InvalidConfigError, Origin, dotted
from rag.config.problems import Path as ValuePath
from rag.config.spec import Spec
from rag.config.stage import Use
from rag.config.yaml import Node, parse
from rag.embed.specs import EmbedderSpec, OnnxSpec
from rag.enrich.specs import EnricherSpec, HeadingsSpec, RepresentSpec
from rag.expand.specs import ExpanderSpec
from rag.generate.specs import ExtractiveSpec, GeneratorSpec
from rag.index.specs import IndexSpec
from rag.load.specs import ConnectorSpec, ParseSpec
from rag.models.language_model_spec import LanguageModelSpec
from rag.pipeline.abstain_spec import AbstainSpec
from rag.pipeline.checks import conflicts
from rag.pipeline.dynamic_spec import DynamicSpec
from rag.query.transform_spec import QueryTransformSpec
from rag.rerank.reranker_spec import RerankerSpec
from rag.retrieve.specs import DenseRetrieverSpec, FuserSpec, RetrieverSpec, SparseRetrieverSpec, ZScoreSpec

_FROM_FILES = object()

FILE_KEYS = ("extends", "presets")
"""Keys of a file that say what lies under it; they are gone when the layers have been put together."""


class IngestSpec(Spec):
    """From sources to an index."""

    load: tuple[Annotated[ConnectorSpec, Use("load")], ...] = ()
    """Where documents come from: connectors, read in this order."""
    parse: ParseSpec = ParseSpec()
    """Limits under which files are turned into text."""
    chunk: Annotated[ChunkerSpec, Use("chunk")] = RecursiveSpec()
    """How documents are cut into chunks."""
    enrich: tuple[Annotated[EnricherSpec, Use("enrich")], ...] = (HeadingsSpec(),)
    """What is added to chunks for indexing, in this order: text before them, metadata, questions they answer."""
    represent: RepresentSpec = RepresentSpec()
    """How metadata takes part in what a chunk is found by."""
    embed: Annotated[EmbedderSpec, Use("embed")] = OnnxSpec()
    """What turns chunks and questions into vectors, and counts tokens."""
    index: IndexSpec = IndexSpec()
    """Where the index lies and how it is searched."""


class AskSpec(Spec):
    """From a question to a cited answer."""

    transform: tuple[Annotated[QueryTransformSpec, Use("transform")], ...] = ()
    """What makes retrieval queries of the question, in this order."""
    retrieve: tuple[Annotated[RetrieverSpec, Use("retrieve")], ...] = Field(
        (DenseRetrieverSpec(), SparseRetrieverSpec()), min_length=1
    )
    """First-stage retrievers, side by side."""
    fuse: Annotated[FuserSpec, Use("fuse")] = ZScoreSpec()
    """How their rankings become one."""
    rerank: tuple[Annotated[RerankerSpec, Use("rerank")], ...] = ()
    """What orders the fused ranking again, one after the other."""
    expand: tuple[Annotated[ExpanderSpec, Use("expand")], ...] = ()
    """What widens the ranked chunks to more of their documents, one after the other."""
    compress: Annotated[CompressorSpec, Use("compress")] = WholeChunksSpec()
    """What is kept of the ranked chunks as evidence."""
    dynamic: DynamicSpec | None = None
    """When else to retrieve, and with what; null: once, with the question, before anything is written."""
    generate: Annotated[GeneratorSpec, Use("generate")] = ExtractiveSpec()
    """What writes the answer."""
    cite: Annotated[CiterSpec, Use("cite")] = CheckedSpec()
    """What checks the answer's citations."""
    abstain: AbstainSpec | None = None
    """When to withhold an answer that is in doubt; null: only where the generator finds none."""


class PipelineSpec(Spec):
    """A whole pipeline. The defaults are the pipeline `hybrid` without sources.

    >>> PipelineSpec(ask=AskSpec(fuse=ZScoreSpec(keep=5))).to_yaml()
    'version: 1\\nask:\\n  fuse:\\n    use: zscore\\n    keep: 5\\n'
    """

    version: Literal[1] = 1
    """The version of this file format."""
    llm: Annotated[LanguageModelSpec, Use("llm")] | None = None
    """The language model that stages ask, and that writes the answer under ``ask.generate: {use: llm}``."""
    ingest: IngestSpec = IngestSpec()
    """From sources to an index."""
    ask: AskSpec = AskSpec()
    """From a question to a cited answer."""

    @model_validator(mode="after")
    def _stages_fit(self, info: ValidationInfo) -> PipelineSpec:
        if info.context is _FROM_FILES:
            return self  # `_load` looks for itself, to report all of it along with what else is wrong
        found = [
            InitErrorDetails(
                type=PydanticCustomError("conflict", "{message}", {"message": message}), loc=path, input=None
            )
            for path, message in conflicts(self)
        ]
        if found:
            raise ValidationError.from_exception_data(type(self).__name__, found)
        return self

    @classmethod
    def from_yaml(cls, text: str, *, environ: Mapping[str, str] | None = None) -> PipelineSpec:
        """Read a pipeline from the text of a file; what it names relative to itself counts from the working directory.

        Raises:
            InvalidConfigError: with every problem of the text.
            UnknownNameError: it extends a pipeline that does not exist.
        """
        return _load(parse(text, name="<text>"), environ=environ, overrides=()).spec

    def to_yaml(self, *, full: bool = False) -> str:
        """The pipeline as the text of a file that reads as an equal spec.

        Without `full`, only what differs from the defaults.
        """
        values = dump.plain(self, full=full)
        return dump.to_yaml({"version": self.version, **values})


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline that was read, where each of its values was written, and which files took part (its own last).

    `origins` is keyed by path (``ask.retrieve.0.k``) and holds what was written; everything else is a default.
    """

    spec: PipelineSpec
    origins: Mapping[str, Origin]
    files: tuple[str, ...]


def load_spec(source: str | Path, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Loaded:
    """Read a pipeline by the path of its file or by its name.

    Paths inside a pipeline (``ingest.index.path``, the roots of connectors) count from the working directory, so that a
    pipeline that ships works on the folder one stands in.

    Args:
        source: a path (ends in ``.yaml`` or has a slash), or a name looked up in ``pipelines/`` of the working
            directory, then among those that ship.
        overrides: ``ask.fuse.keep=20`` and the like; values are YAML.
        environ: where ``${VAR}`` and ``RAG__...`` come from; the process's environment if ``None``.

    Raises:
        InvalidConfigError: with every problem found.
        UnknownNameError: no pipeline of that name.
        ConfigError: a file cannot be read.
    """
    is_path = isinstance(source, Path) or layers.is_path(source)
    path = Path(source) if is_path else library.find("pipelines", str(source))
    return _load(path, environ=environ, overrides=overrides)


def _load(source: Node | Path, *, environ: Mapping[str, str] | None, overrides: Sequence[str]) -> Loaded:
    gathered = layers.gather(
        source,
        find=library.find,
        defaults=dump.selections(PipelineSpec()),
        environ=os.environ if environ is None else environ,
        overrides=overrides,
    )
    tree, problems = gathered.tree, list(gathered.problems)
    try:
        spec = _read(tree)
    except ValidationError as error:
        unresolved = {problem.path for problem in problems}
        found = explain(error, tree, PipelineSpec, more_keys=FILE_KEYS)
        problems += [problem for problem in found if problem.path not in unresolved]
        for problem in problems:  # left out, so that what the rest does not agree on is reported along with it
            tree = tree.without(_stage(problem.path))
        spec = _read(tree)
    problems += mistyped(tree, spec)
    wrong = {_stage(problem.path) for problem in problems}
    problems += [problem_at(gathered.tree, path, message) for path, message in conflicts(spec, wrong=wrong)]
    if problems:
        raise InvalidConfigError(problems)
    return Loaded(spec, dict(_origins(tree, ())), gathered.files)


def _read(tree: Node) -> PipelineSpec:
    """The pipeline as it is written, its stages not yet held against each other."""
    return PipelineSpec.model_validate(tree.plain, context=_FROM_FILES)


def _stage(path: ValuePath) -> ValuePath:
    """Where the stage stands that a path lies in."""
    return path[:2] if path[0] in ("ingest", "ask") else path[:1]


def _origins(node: Node, path: ValuePath) -> list[tuple[str, Origin]]:
    if isinstance(node.value, dict) and node.value:
        return [found for name, child in node.value.items() for found in _origins(child, (*path, name))]
    if isinstance(node.value, list) and node.value:
        return [found for at, child in enumerate(node.value) for found in _origins(child, (*path, at))]
    return [(dotted(path), node.origin)]
