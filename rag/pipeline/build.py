"""From a spec to built stages. Each part is made at first use, once, and closed with the pipeline."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast, runtime_checkable

from rag.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from rag.chunk.base import Chunker
    from rag.cite.base import Citer
    from rag.compress.base import Compressor
    from rag.embed.base import Embedder
    from rag.enrich.base import Enricher
    from rag.expand.base import Expander
    from rag.generate.base import Generator
    from rag.index.directory import IndexDirectory
    from rag.load.base import Connector
    from rag.models.llm import LanguageModel
    from rag.pipeline.doubt import Doubt
    from rag.pipeline.dynamic import Dynamic
    from rag.pipeline.spec import PipelineSpec
    from rag.query.base import QueryTransform
    from rag.rerank.base import Reranker
    from rag.resources import Resources
    from rag.retrieve.base import Fuser, Retriever
    from rag.trigger.base import QueryBuilder, Trigger

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Objects to use instead of what the spec names: a LangChain embedder, a reranker of one's own, a fake in a test.

    What is ``None`` is built from the spec. A `trigger` needs no ``ask.dynamic`` beside it.
    """

    connectors: Sequence[Connector] | None = None
    chunker: Chunker | None = None
    enrichers: Sequence[Enricher] | None = None
    embedder: Embedder | None = None
    transforms: Sequence[QueryTransform] | None = None
    retrievers: Sequence[Retriever] | None = None
    fuser: Fuser | None = None
    rerankers: Sequence[Reranker] | None = None
    expanders: Sequence[Expander] | None = None
    compressor: Compressor | None = None
    generator: Generator | None = None
    llm: LanguageModel | None = None
    citer: Citer | None = None
    trigger: Trigger | None = None
    query_builder: QueryBuilder | None = None


class BuiltResources:
    """The `rag.resources.Resources` of one pipeline."""

    def __init__(
        self, spec: PipelineSpec, *, embedder: Embedder | None = None, llm: LanguageModel | None = None
    ) -> None:
        self.spec = spec
        self._given = embedder, llm
        self._embedder = embedder
        self._llm = llm
        self._index: IndexDirectory | None = None
        self._shared: dict[Hashable, object] = {}
        self._lock = RLock()

    @property
    def embedder(self) -> Embedder:
        with self._lock:
            if self._embedder is None:
                self._embedder = self.spec.ingest.embed.build()
            return self._embedder

    @property
    def index(self) -> IndexDirectory:
        if self._index is not None:  # asked for several times a question
            return self._index
        from rag.index.directory import IndexDirectory

        with self._lock:
            if self._index is None:
                self._index = IndexDirectory(self.spec.ingest.index)
            return self._index

    @property
    def llm(self) -> LanguageModel:
        with self._lock:
            if self._llm is None:
                if self.spec.llm is None:
                    raise ConfigError(
                        "llm: the pipeline has no language model",
                        hint="set `llm: {use: openai, base_url: ..., model: ...}` in the pipeline file",
                    )
                self._llm = self.spec.llm.build()
            return self._llm

    @property
    def reads_pictures(self) -> bool:
        return self.spec.ingest.parse.ocr != "off"

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._shared:
                self._shared[key] = make()
            return cast("T", self._shared[key])

    def prompt(self, name: str) -> str:
        from rag.library import read

        return read("prompts", name)

    def close(self) -> None:
        with self._lock:
            embedder, llm = self._given
            made = [self._index, None if embedder else self._embedder, None if llm else self._llm]
            for each in (*made, *reversed(self._shared.values())):
                if isinstance(each, Closeable):
                    each.close()
            self._shared.clear()
            self._index, self._embedder, self._llm = None, embedder, llm


T_co = TypeVar("T_co", covariant=True)


class Buildable(Protocol[T_co]):
    """A spec, as this file sees it: a name and a factory."""

    @property
    def use(self) -> str: ...

    def build(self, resources: Resources) -> T_co: ...


@runtime_checkable
class Closeable(Protocol):
    """A component that holds connections or memory until it is closed."""

    def close(self) -> None: ...


@runtime_checkable
class Learning(Protocol):
    """A component that is changed by what it is asked, as a bandit is."""

    def frozen(self) -> Learning:
        """The same component as it is now, which learns nothing from what it is asked."""
        ...


@dataclass(frozen=True, slots=True)
class Stage(Generic[T]):
    """A component and the name the trace shows it by: its `use`, or its class where an object was given."""

    use: str
    run: T

    def frozen(self) -> Stage[T]:
        """With what its component has learnt so far, if it is `Learning`."""
        return Stage(self.use, cast("T", self.run.frozen())) if isinstance(self.run, Learning) else self


@dataclass(frozen=True, slots=True)
class IngestStages:
    connectors: Sequence[Connector]
    chunker: Chunker
    enrichers: Sequence[Enricher]


@dataclass(frozen=True, slots=True)
class AskStages:
    transforms: Sequence[Stage[QueryTransform]]
    retrievers: Sequence[Stage[Retriever]]
    fuser: Stage[Fuser]
    rerankers: Sequence[Stage[Reranker]]
    expanders: Sequence[Stage[Expander]]
    compressor: Stage[Compressor]
    generator: Stage[Generator]
    citer: Stage[Citer]
    dynamic: Dynamic | None = None
    doubt: Doubt | None = None

    def frozen(self) -> AskStages:
        """The stages that make a ranking, none of which learns from the questions they are asked."""
        return replace(
            self,
            transforms=[stage.frozen() for stage in self.transforms],
            retrievers=[stage.frozen() for stage in self.retrievers],
            fuser=self.fuser.frozen(),
            rerankers=[stage.frozen() for stage in self.rerankers],
            expanders=[stage.frozen() for stage in self.expanders],
        )


class Built:
    """A spec's stages, the two halves built apart: asking never builds a connector, ingesting never a generator."""

    def __init__(self, spec: PipelineSpec, components: Components) -> None:
        self.spec = spec
        self.components = components
        self.resources = BuiltResources(spec, embedder=components.embedder, llm=components.llm)

    @cached_property
    def ingest(self) -> IngestStages:
        spec, made = self.spec.ingest, self.components
        return IngestStages(
            [stage.run for stage in self._stages(made.connectors, spec.load)],
            self._stage(made.chunker, spec.chunk).run,
            [stage.run for stage in self._stages(made.enrichers, spec.enrich)],
        )

    @cached_property
    def ask(self) -> AskStages:
        spec, made = self.spec.ask, self.components
        retrievers = self._stages(made.retrievers, spec.retrieve)
        if not retrievers:
            raise ConfigError("ask.retrieve: expected at least one retriever, found none")
        return AskStages(
            self._stages(made.transforms, spec.transform),
            retrievers,
            self._stage(made.fuser, spec.fuse),
            self._stages(made.rerankers, spec.rerank),
            self._stages(made.expanders, spec.expand),
            self._stage(made.compressor, spec.compress),
            self._stage(made.generator, spec.generate),
            self._stage(made.citer, spec.cite),
            self._dynamic(),
            spec.abstain.build() if spec.abstain is not None else None,
        )

    def _dynamic(self) -> Dynamic | None:
        from rag.pipeline.dynamic import Dynamic, Limits
        from rag.pipeline.dynamic_spec import DynamicSpec
        from rag.trigger.simple_specs import AlwaysSpec

        spec = self.spec.ask.dynamic
        if spec is None and self.components.trigger is not None:
            spec = DynamicSpec(trigger=AlwaysSpec())  # which the given one takes the place of
        if spec is None:
            return None
        names = ("rounds", "tokens", "seconds", "add", "on_failure")
        return Dynamic(
            self._stage(self.components.trigger, spec.trigger),
            self._stage(self.components.query_builder, spec.query),
            None if spec.elsewhere is None else self._stage(None, spec.elsewhere),
            Limits(**{name: getattr(spec, name) for name in names}),
        )

    def variant(self, stages: AskStages) -> Built:
        """The same resources under other stages of ``ask``."""
        other = copy(self)
        other.__dict__["ask"] = stages  # where `cached_property` looks first
        return other

    def _stage(self, given: T | None, spec: Buildable[T]) -> Stage[T]:
        if given is not None:
            return Stage(type(given).__name__, given)
        return Stage(spec.use, spec.build(self.resources))

    def _stages(self, given: Sequence[T] | None, specs: Sequence[Buildable[T]]) -> list[Stage[T]]:
        if given is not None:
            return [Stage(type(component).__name__, component) for component in given]
        return [self._stage(None, spec) for spec in specs]

    def close(self) -> None:
        if "ask" in self.__dict__ and self.components.generator is None:
            generator = self.ask.generator.run
            if isinstance(generator, Closeable):
                generator.close()
        self.resources.close()
