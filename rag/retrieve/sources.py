"""Several named indexes behind one retriever."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from rag.errors import ConfigError
from rag.index.directory import IndexDirectory
from rag.index.reader import SEPARATOR, Reader
from rag.retrieve.dense import DenseRetriever
from rag.retrieve.sparse import SparseRetriever
from rag.types import Background, Chunk, Query, Ranking, ScoredChunk

if TYPE_CHECKING:
    from rag.embed.base import Embedder
    from rag.models.llm import LanguageModel
    from rag.resources import Resources

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """A named index: where it is (``None``: the pipeline's own), and what it has something to say about."""

    index: str | None
    description: str


@dataclass(frozen=True, slots=True)
class SourceResources:
    """The pipeline's resources with another index."""

    given: Resources
    index: IndexDirectory

    @property
    def embedder(self) -> Embedder:
        return self.given.embedder

    @property
    def llm(self) -> LanguageModel:
        return self.given.llm

    @property
    def reads_pictures(self) -> bool:
        return self.given.reads_pictures

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        return self.given.shared(key, make)

    def prompt(self, name: str) -> str:
        return self.given.prompt(name)


class Sources:
    """Named indexes of one embedder, searched by name.

    A document of another index than the pipeline's own is called ``name::id``, here and wherever it is cited, so that
    documents of one id in two indexes stay two. Filters and access lists apply in each index.

    Raises:
        ConfigError: a document of the pipeline's own index has an id that begins like those of a source.
        IndexMismatchError: an index holds vectors of another model.
    """

    def __init__(
        self, resources: Resources, sources: Mapping[str, Source], *, k: int, search: Literal["dense", "sparse"]
    ) -> None:
        self.resources = resources
        self.sources = dict(sources)
        self.k = k
        self.search = search
        self._checked: dict[str, tuple[Reader, Reader]] = {}

    def retrieve(self, plan: Sequence[Sequence[tuple[str, Query]]]) -> list[Ranking]:
        """One ranking for each list of searches (a source's name and what to look for there), the `k` best of all.

        A chunk that several searches find has its largest score. Scores of one embedder can be compared between
        indexes; those of BM25 only roughly, since a word may be rare in one index and common in another.
        """
        by_source: defaultdict[str, list[tuple[int, Query]]] = defaultdict(list)
        for at, searches in enumerate(plan):
            for name, query in searches:
                by_source[name].append((at, query))
        found: defaultdict[int, list[tuple[str, Ranking]]] = defaultdict(list)
        for name, asked in by_source.items():
            rankings = self._retriever(name).retrieve([query for _, query in asked])
            for (at, _), ranking in zip(asked, rankings, strict=True):
                found[at].append((name, self._named(name, ranking)))
        return [self._merged(found[at]) for at in range(len(plan))]

    def _retriever(self, name: str) -> DenseRetriever | SparseRetriever:
        path = self.sources[name].index
        own = self.resources.index
        if path is None:
            return self._search(self.resources)
        spec = own.spec.model_copy(update={"path": path})
        index = self.resources.shared(("index", path), lambda: IndexDirectory(spec))
        readers = own.reader(), index.reader()
        if self._checked.get(name) != readers:  # once a generation
            self._check(name, index)
            self._checked[name] = readers
        own.attach(name, index)
        return self._search(SourceResources(self.resources, index))

    def _check(self, name: str, index: IndexDirectory) -> None:
        own, prefix = self.resources.index, name + SEPARATOR
        index.check(self.resources.embedder.identity if own.spec.dense is not None else None)
        if own.reader().begins(prefix):
            raise ConfigError(
                f"ask.retrieve: documents of {own.path} have ids that begin with {prefix!r}, as those of a source do",
                hint=f"give the source {name!r} another name",
            )

    def _search(self, resources: Resources) -> DenseRetriever | SparseRetriever:
        made = DenseRetriever if self.search == "dense" else SparseRetriever
        return made(resources, k=self.k)

    def _named(self, name: str, ranking: Ranking) -> Ranking:
        prefix = "" if self.sources[name].index is None else name + SEPARATOR
        hits = tuple(
            ScoredChunk(_renamed(hit.chunk, prefix + hit.chunk.document_id), hit.score, f"{self.search}:{name}")
            for hit in ranking
        )
        background = ranking.background
        assert background is not None, "both retrievers give one"

        def score(chunks: Sequence[Chunk]) -> Sequence[float]:
            return background.score([_renamed(chunk, chunk.document_id[len(prefix) :]) for chunk in chunks])

        return Ranking(hits, replace(background, score=score))

    def _merged(self, rankings: Sequence[tuple[str, Ranking]]) -> Ranking:
        best: dict[str, ScoredChunk] = {}
        for hit in (hit for _, ranking in rankings for hit in ranking):
            known = best.get(hit.chunk.id)
            if known is None or hit.score > known.score:
                best[hit.chunk.id] = hit
        return Ranking.of(list(best.values()), keep=self.k, background=self._pooled(rankings))

    def _pooled(self, rankings: Sequence[tuple[str, Ranking]]) -> Background:
        """The distribution over all searches; a chunk of an index that was not searched scores the mean."""
        parts = [(name, ranking.background) for name, ranking in rankings if ranking.background is not None]
        size = sum(part.size for _, part in parts)
        mean = sum(part.mean * part.size for _, part in parts) / size if size else 0.0
        square = sum((part.deviation**2 + part.mean**2) * part.size for _, part in parts) / size if size else 0.0

        def score(chunks: Sequence[Chunk]) -> list[float]:
            scores = [-math.inf] * len(chunks)
            for name, part in parts:
                places = [at for at, chunk in enumerate(chunks) if self._source_of(chunk) == name]
                for at, value in zip(places, part.score([chunks[at] for at in places]), strict=True):
                    scores[at] = max(scores[at], value)
            return [mean if value == -math.inf else value for value in scores]

        return Background(mean, math.sqrt(max(0.0, square - mean**2)), size, score)

    def _source_of(self, chunk: Chunk) -> str | None:
        name, separator, _ = chunk.document_id.partition(SEPARATOR)
        if separator and name in self.sources and self.sources[name].index is not None:
            return name
        return next((own for own, source in self.sources.items() if source.index is None), None)


def _renamed(chunk: Chunk, document_id: str) -> Chunk:
    return replace(chunk, span=replace(chunk.span, document_id=document_id))
