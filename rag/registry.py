"""The names of components: what ships, what plug-ins add, what a program registers.

A component is known by its spec class. This file holds import strings, so it sits below everything it can name, and a
pipeline file holds names alone, so it cannot run code of its choosing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, cast

from rag.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of component; its plug-ins stand in the entry point group ``rag.<name>``.

    `place` is where it stands in a pipeline file. `base` is the class that every spec of the stage derives from and
    `built_in` a tuple of spec classes or a mapping from names to import strings, both as ``module:attribute``.
    """

    name: str
    noun: str
    place: str
    base: str
    built_in: str


def _stage(name: str, noun: str, place: str, folder: str, base: str, built_in: str = "BUILT_IN") -> Stage:
    return Stage(name, noun, place, f"rag.{folder}.specs:{base}", f"rag.{folder}.specs:{built_in}")


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        _stage("llm", "language model", "llm", "models", "LanguageModelSpec"),
        _stage("load", "connector", "ingest.load", "load", "ConnectorSpec", "CONNECTORS"),
        _stage("chunk", "chunker", "ingest.chunk", "chunk", "ChunkerSpec"),
        _stage("enrich", "enricher", "ingest.enrich", "enrich", "EnricherSpec"),
        _stage("embed", "embedder", "ingest.embed", "embed", "EmbedderSpec"),
        _stage("dense", "dense index", "ingest.index.dense", "index", "DenseIndexSpec", "BUILT_IN_DENSE"),
        _stage("sparse", "sparse index", "ingest.index.sparse", "index", "SparseIndexSpec", "BUILT_IN_SPARSE"),
        _stage("transform", "query transform", "ask.transform", "query", "QueryTransformSpec"),
        _stage("retrieve", "retriever", "ask.retrieve", "retrieve", "RetrieverSpec", "BUILT_IN_RETRIEVERS"),
        _stage("fuse", "fuser", "ask.fuse", "retrieve", "FuserSpec", "BUILT_IN_FUSERS"),
        _stage("rerank", "reranker", "ask.rerank", "rerank", "RerankerSpec"),
        _stage("expand", "expander", "ask.expand", "expand", "ExpanderSpec"),
        _stage("compress", "compressor", "ask.compress", "compress", "CompressorSpec"),
        _stage("trigger", "trigger", "ask.dynamic.trigger", "trigger", "TriggerSpec"),
        _stage("query", "query builder", "ask.dynamic.query", "trigger", "QueryBuilderSpec", "BUILT_IN_QUERY_BUILDERS"),
        Stage(
            "counts",
            "counter",
            "ask.dynamic.trigger.counts",
            "rag.index.counts_specs:CountsSpec",
            "rag.index.counts_specs:BUILT_IN",
        ),
        _stage("generate", "generator", "ask.generate", "generate", "GeneratorSpec"),
        _stage("cite", "citer", "ask.cite", "cite", "CiterSpec"),
    )
}

_registered: dict[tuple[str, str], type[BaseModel]] = {}


def register(stage: str, spec: type[BaseModel]) -> None:
    """Make a component of this program known by its name, as an entry point would for an installed package.

    Raises:
        ConfigError: the class is no spec of the stage, or its name is taken.
    """
    known = find_stage(stage)
    name = _checked(known, spec, source=f"{spec.__module__}.{spec.__qualname__}")
    taken = _registered.get((stage, name)) or _built_in(known).get(name)
    if taken is not None and taken is not spec:
        raise ConfigError(f"the {known.noun} {name!r} is already there", hint="give the class another `use`")
    _registered[stage, name] = spec


def find_stage(name: str) -> Stage:
    """The stage of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in STAGES:
        raise UnknownNameError(unknown("stage", name, STAGES))
    return STAGES[name]


def find(stage: str, name: str) -> type[BaseModel]:
    """The spec class of a component; entry points are read only for a name that neither ships nor was registered.

    Raises:
        UnknownNameError: no component of that name; near names are offered.
        ConfigError: the plug-in of that name is broken.
    """
    known = find_stage(stage)
    spec = _built_in(known).get(name) or _registered.get((stage, name))
    if spec is not None:
        return _load(known, name, spec)
    plugin = _plugins(known).get(name)
    if plugin is None:
        raise UnknownNameError(unknown(known.noun, name, names(stage)))
    return _load_plugin(known, plugin)


def names(stage: str, *, plugins: bool = True) -> dict[str, str]:
    """Every component of a stage by name, and where it was added: a distribution or module, empty if it ships.

    What ships comes first, in its own order; then, unless left out, what was added, by name. Nothing is imported, so a
    broken plug-in is listed as well.
    """
    known = find_stage(stage)
    found = dict.fromkeys(_built_in(known), "")
    if plugins:
        added = {name: spec.__module__ for (at, name), spec in _registered.items() if at == stage}
        added |= {name: _distribution(entry_point) for name, entry_point in _plugins(known).items()}
        found |= {name: added[name] for name in sorted(added) if name not in found}
    return found


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, if one does.

    >>> near("cross-encodr", ["cross-encoder", "none"])
    'cross-encoder'
    """
    lower = {other.lower().replace("_", "-"): other for other in known}
    found = get_close_matches(name.lower().replace("_", "-"), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not among `known`.

    >>> unknown("fuser", "rff", ["rrf", "zscore"])
    "unknown fuser 'rff'; did you mean 'rrf'? (known: rrf, zscore)"
    """
    listed = sorted(known)
    guess = near(name, listed)
    question = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {noun} {name!r}{question} (known: {', '.join(listed) or 'none'})"


def spec_name(spec: type[BaseModel]) -> str:
    """The `use` of a spec class, or an empty string if it has none."""
    field = spec.model_fields.get("use")
    return field.default if field is not None and isinstance(field.default, str) else ""


def _built_in(stage: Stage) -> Mapping[str, type[BaseModel] | str]:
    listed = _attribute(stage.built_in)
    if isinstance(listed, Mapping):
        return listed
    assert isinstance(listed, tuple), f"{stage.built_in} is neither a tuple of specs nor a mapping of names"
    return {spec_name(spec): spec for spec in listed}


def _load(stage: Stage, name: str, spec: type[BaseModel] | str) -> type[BaseModel]:
    if not isinstance(spec, str):
        return spec
    try:
        loaded = _attribute(spec)
    except ModuleNotFoundError as error:
        if error.name == "rag.connectors":
            raise ConfigError(
                f"the {stage.noun} {name!r} is not part of this installation",
                hint="install the checkout: pip install -e .",
            ) from error
        raise
    return _spec_class(stage, loaded, source=spec)


def _plugins(stage: Stage) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=f"rag.{stage.name}"):
        other = found.setdefault(entry_point.name, entry_point)
        if other.value != entry_point.value:
            raise ConfigError(
                f"two plug-ins are called {entry_point.name!r} in rag.{stage.name}: "
                f"{_distribution(other)} and {_distribution(entry_point)}",
                hint="uninstall one of them",
            )
    return found


def _load_plugin(stage: Stage, entry_point: EntryPoint) -> type[BaseModel]:
    source = f"{_distribution(entry_point)} ({entry_point.value})"
    try:
        loaded = entry_point.load()
    except Exception as error:  # a plug-in's import may fail in any way
        raise ConfigError(
            f"the {stage.noun} {entry_point.name!r} of the plug-in {source} cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    spec = _spec_class(stage, loaded, source=source)
    if _checked(stage, spec, source=source) != entry_point.name:
        raise ConfigError(
            f"the plug-in {source} calls itself {spec_name(spec)!r}, its entry point {entry_point.name!r}"
        )
    return spec


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else entry_point.value


def _checked(stage: Stage, spec: type[BaseModel], *, source: str) -> str:
    name = spec_name(_spec_class(stage, spec, source=source))
    if not name:
        raise ConfigError(f"{source}: a {stage.noun} needs a field like `use: Literal['my-name'] = 'my-name'`")
    return name


def _spec_class(stage: Stage, loaded: object, *, source: str) -> type[BaseModel]:
    base = cast("type[BaseModel]", _attribute(stage.base))
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise ConfigError(f"{source}: expected a class derived from {base.__name__} ({stage.base}), got {loaded!r}")
    return loaded


def _attribute(reference: str) -> object:
    module, _, name = reference.partition(":")
    loaded: object = getattr(import_module(module), name)
    return loaded
