"""The options of the retrievers that search several indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from rag.config.spec import PromptName, Spec, Trait
from rag.retrieve.retriever_spec import RetrieverSpec

if TYPE_CHECKING:
    from rag.resources import Resources
    from rag.retrieve.base import Retriever
    from rag.retrieve.sources import Sources

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class SourceSpec(Spec):
    """A named index."""

    index: str | None = None
    """The folder of the index, made by the same embedder and analyzer; null: the pipeline's own."""
    description: str = Field(min_length=1)
    """What it has something to say about, in a sentence."""


class SourcesSpec(RetrieverSpec):
    """What both ways to choose among indexes have in common."""

    sources: dict[Name, SourceSpec] = Field(min_length=1)
    """The indexes by name. A document of one is cited as `name::id`."""
    search: Literal["dense", "sparse"] = "dense"
    """How each is searched. Scores of `sparse` can be compared between indexes only roughly."""
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve, of all sources together."""

    @field_validator("sources")
    @classmethod
    def _one_is_own(cls, sources: dict[str, SourceSpec]) -> dict[str, SourceSpec]:
        paths = [source.index for source in sources.values()]
        if len(set(paths)) < len(paths):
            raise ValueError("two sources have the same index")
        return sources

    @property
    def traits(self) -> frozenset[Trait]:
        return frozenset({"other-indexes"})

    def opened(self, resources: Resources) -> Sources:
        from rag.retrieve.sources import Source, Sources

        named = {name: Source(source.index, source.description) for name, source in self.sources.items()}
        return Sources(resources, named, k=self.k, search=self.search)


class RoutedSpec(SourcesSpec):
    """Searches those of several indexes whose descriptions are nearest to the question."""

    use: Literal["routed"] = "routed"
    most: int = Field(2, ge=1)
    """How many sources to search at most."""
    margin: float = Field(0.1, ge=0, le=2)
    """How far behind the nearest description, in cosine, another may be to be searched as well."""

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.routed import RoutedRetriever

        return RoutedRetriever(self.opened(resources), resources.embedder, most=self.most, margin=self.margin)


class PlannedSpec(SourcesSpec):
    """Searches several indexes as the language model plans it in one request."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    use: Literal["planned"] = "planned"
    most: int = Field(3, ge=1, le=20)
    """How many searches a plan may have."""
    prompt: PromptName = "plan"
    """The prompt template, by name: ``{question}``, ``{sources}``, ``{most}`` and ``{problem}``."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many requests are with the model at the same time."""

    def build(self, resources: Resources) -> Retriever:
        from rag.models.template import Template
        from rag.retrieve.planned import FIELDS, PlannedRetriever

        template = Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS)
        return PlannedRetriever(
            self.opened(resources), resources.llm, template, most=self.most, concurrency=self.concurrency
        )


SEVERAL_INDEXES: tuple[type[RetrieverSpec], ...] = (RoutedSpec, PlannedSpec)
