"""Options of the enrich stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from rag.config.spec import PromptName, Spec
from rag.index.specs import Bm25Spec

if TYPE_CHECKING:
    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.enrich.asking import Asking
    from rag.enrich.base import Enricher
    from rag.enrich.doc2query import Scorer
    from rag.enrich.metadata import RuleMetadata
    from rag.models.llm import Json
    from rag.resources import Resources

RuleName: TypeAlias = Literal["title", "summary", "keywords", "entities", "content-type", "first-date", "last-date"]
FieldName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class EnricherSpec(Spec):
    """The base of every enricher's options."""

    use: str

    def build(self, resources: Resources) -> Enricher:
        """Make the enricher. Every subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")


class HeadingsSpec(EnricherSpec):
    """Puts the document's title and the headings above a chunk before it, for indexing only; and the names of the
    columns where it begins inside a Markdown table."""

    use: Literal["headings"] = "headings"
    title: bool = True
    """Begin with the document's title, where its metadata has one."""
    characters: int = Field(200, ge=20)
    """Longest context; the outermost headings are left out first."""

    def build(self, resources: Resources) -> Enricher:
        from rag.enrich.headings import HeadingsEnricher

        return HeadingsEnricher(title=self.title, characters=self.characters)


class PriceSpec(Spec):
    """What the model costs, in any currency, for `rag ingest --plan`."""

    prompt: float = Field(ge=0)
    """A million tokens of the prompt."""
    completion: float = Field(ge=0)
    """A million tokens of the reply."""


class AskingSpec(EnricherSpec):
    """The base of enrichers that ask a language model about every chunk."""

    needs: ClassVar[tuple[str, ...]] = ("llm",)
    prompt: PromptName
    """The prompt template, by name."""
    max_tokens: int = Field(400, ge=16)
    """How long a reply may get."""
    concurrency: int = Field(4, ge=1, le=64)
    """How many chunks are asked about at the same time."""
    prices: PriceSpec | None = None
    """What a million tokens cost; `rag ingest --plan` then gives the price."""

    def asking(self, resources: Resources, schema: Mapping[str, Json] | None = None) -> Asking:
        """The pipeline's model with these options; replies are kept in the index folder."""
        from rag.enrich.asking import Asking, Prices
        from rag.enrich.cache import ReplyCache
        from rag.models.llm import Sampling

        return Asking(
            resources.llm,
            resources.shared("enrichments", lambda: ReplyCache(resources.index.path)),
            sampling=Sampling(max_tokens=self.max_tokens, schema=schema),
            concurrency=self.concurrency,
            prices=None if self.prices is None else Prices(self.prices.prompt, self.prices.completion),
        )


class FieldSpec(Spec):
    """One typed field of a metadata schema."""

    name: FieldName = Field(max_length=64)
    """The name in the metadata and in filters."""
    type: Literal["str", "int", "float", "bool", "date", "list"] = "str"
    """`list` is a list of texts, stored with ``; `` between them; `date` is stored as YYYY-MM-DD."""
    description: str = ""
    """What the model is told the field is."""
    choices: tuple[str, ...] = ()
    """The only values there are, for `str`."""
    most: int | None = Field(None, ge=1)
    """The most items of a list, or words of a text; what is beyond is cut off."""
    grounded: bool = False
    """Keep of a model's reply only what stands word for word in the chunk: names that were made up mislead filters."""
    rule: RuleName | None = None
    """What fills the field where no model does; without a rule it stays empty."""

    @model_validator(mode="after")
    def _fits(self) -> FieldSpec:
        if self.choices and self.type != "str":
            raise ValueError(f"choices are for fields of type `str`, not `{self.type}`")
        if self.rule is not None and self.type != RULE_TYPES[self.rule]:
            raise ValueError(f"the rule `{self.rule}` gives a `{RULE_TYPES[self.rule]}`, the field is a `{self.type}`")
        return self


RULE_TYPES: Mapping[RuleName, str] = {
    "title": "str",
    "summary": "str",
    "keywords": "list",
    "entities": "list",
    "content-type": "str",
    "first-date": "date",
    "last-date": "date",
}
"""The type of field that each rule fills."""

CONTENT_TYPES = ("concept", "procedure", "reference", "policy", "example", "faq", "other")

DEFAULT_FIELDS: tuple[FieldSpec, ...] = (
    FieldSpec(name="title", description="A short title of this passage.", most=12, rule="title"),
    FieldSpec(name="summary", description="What the passage says.", most=40, rule="summary"),
    FieldSpec(
        name="keywords",
        type="list",
        description="The words somebody would search this passage by.",
        most=10,
        rule="keywords",
    ),
    FieldSpec(
        name="entities",
        type="list",
        description="People, organisations, places and products, exactly as the passage writes them.",
        most=10,
        grounded=True,
        rule="entities",
    ),
    FieldSpec(name="content_type", description="What kind of text it is.", choices=CONTENT_TYPES, rule="content-type"),
    FieldSpec(name="intended_questions", type="list", description="Questions that the passage answers.", most=5),
    FieldSpec(name="category", description="The subject area, in one or two words.", most=3),
    FieldSpec(name="audience", description="Who the passage is written for, in one or two words.", most=3),
    FieldSpec(name="date_from", type="date", description="The earliest date it speaks of.", rule="first-date"),
    FieldSpec(name="date_to", type="date", description="The latest date it speaks of.", rule="last-date"),
)

Fields: TypeAlias = Annotated[tuple[FieldSpec, ...], Field(min_length=1)]


FEATURE_FIELDS: tuple[FieldSpec, ...] = (
    FieldSpec(
        name="feature_keywords",
        type="list",
        description="Think of the questions that the passage answers, then give the words that searches for it need.",
        most=20,
        rule="keywords",
    ),
    FieldSpec(
        name="feature_entities",
        type="list",
        description="People, organisations, places and products, exactly as the passage writes them.",
        most=10,
        grounded=True,
        rule="entities",
    ),
    FieldSpec(name="feature_summary", description="What the passage says.", most=40, rule="summary"),
    FieldSpec(name="feature_essay", description="A short essay on the passage's subject, from what it says.", most=120),
)


class RepresentSpec(Spec):
    """How metadata takes part in what a chunk is found by: the three indexing conditions of arXiv 2512.05411."""

    by: Literal["content", "tfidf-weighted", "prefix"] = "content"
    """`content`: not at all; `tfidf-weighted`: as a part of the vector; `prefix`: written before the text."""
    fields: tuple[str, ...] = Field(("title", "summary", "keywords", "entities", "category"), min_length=1)
    """Metadata of the chunk, or else of its document, that takes part, in this order."""
    content_weight: float = Field(0.7, ge=0, le=1)
    """The weight of the text's vector, for `tfidf-weighted`; the rest is that of the metadata's terms."""
    terms: int = Field(20, ge=1)
    """How many of a chunk's metadata terms take part, the heaviest first, for `tfidf-weighted`."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        if self.by == "tfidf-weighted" and pipeline.value("ingest.index.dense") is None:
            yield (*path, "by"), "'tfidf-weighted' is a way to make vectors, ingest.index.dense is null"


class MetadataFields(Spec):
    """A schema of fields."""

    mark: ClassVar[str] = "metadata_by"
    fields: Fields = DEFAULT_FIELDS
    """What is found out about every chunk; replaces the default fields."""
    more_fields: tuple[FieldSpec, ...] = ()
    """Fields beside those of `fields`, so that the default ones need not be repeated."""

    @model_validator(mode="after")
    def _names_differ(self) -> MetadataFields:
        names = [field.name for field in self.schema_fields()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"several fields are named {', '.join(twice)}")
        return self

    def schema_fields(self) -> tuple[FieldSpec, ...]:
        return (*self.fields, *self.more_fields)

    def rules(self) -> RuleMetadata:
        from rag.enrich.keywords import TermStatistics
        from rag.enrich.metadata import RuleMetadata

        return RuleMetadata(self.schema_fields(), TermStatistics(), mark=self.mark)


class MetadataRulesSpec(MetadataFields, EnricherSpec):
    """Typed metadata of every chunk by rules alone: keywords by TF-IDF, title from headings, names, dates."""

    use: Literal["metadata-rules"] = "metadata-rules"

    def build(self, resources: Resources) -> Enricher:
        return self.rules()


class MetadataSpec(MetadataFields, AskingSpec):
    """Typed metadata of every chunk, written by a language model; by rules where its reply is of no use.

    Framework of arXiv 2512.05411. Without a model there is `metadata-rules`.
    """

    use: Literal["metadata"] = "metadata"
    prompt: PromptName = "metadata"
    """The prompt template, by name."""

    def build(self, resources: Resources) -> Enricher:
        from rag.enrich.metadata import FIELDS, LlmMetadata
        from rag.enrich.schema import json_schema
        from rag.models.template import Template

        fields = self.schema_fields()
        return LlmMetadata(
            fields,
            self.rules(),
            self.asking(resources, json_schema(fields)),
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
        )


class PrfFeaturesSpec(MetadataSpec):
    """What a chunk may lend to a question that finds it: keywords, entities, a summary, a short essay.

    Written by a language model into `feature_...` fields, by rules where its reply is of no use; read by the query
    transform `prf-features`. After PromptPRF, arXiv 2503.14887, whose prompts are not published with the abstract.
    """

    mark: ClassVar[str] = "features_by"
    use: Literal["prf-features"] = "prf-features"  # type: ignore[assignment]  # another component's name
    fields: Fields = FEATURE_FIELDS
    """The features of every chunk."""
    max_tokens: int = Field(600, ge=16)
    """How long a reply may get."""


class ContextualRulesSpec(EnricherSpec):
    """Puts the document's title, the headings above a chunk and the document's first sentence before it."""

    use: Literal["contextual-rules"] = "contextual-rules"
    field: FieldName | None = None
    """A metadata field for all this, instead of before the chunk: where `ingest.index.sparse.fields` names it, words
    are found by it and vectors stay as they are."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        if self.field is not None:
            if pipeline.value("ingest.index.sparse") is None:
                yield (*path, "field"), "nothing would search the notes, ingest.index.sparse is null"
            yield from _unread(self.field, "notes", pipeline, path)

    def build(self, resources: Resources) -> Enricher:
        from rag.enrich.contextual import RuleContext

        return RuleContext(field=self.field)


class ContextualSpec(AskingSpec):
    """Puts a note before every chunk, written by a language model, that places it in its document.

    Contextual retrieval (Anthropic, 2024), for both sides of retrieval; never evidence. Without a model there is
    `contextual-rules`.
    """

    use: Literal["contextual"] = "contextual"
    prompt: PromptName = "contextual"
    """The prompt template, by name."""
    max_tokens: int = Field(160, ge=16)
    """How long a reply may get."""
    words: int = Field(100, ge=10)
    """Words of the note; what is beyond is cut off."""
    document_tokens: int = Field(6000, ge=100)
    """How much of the document the model is given, in estimated tokens; a longer one is given in stretches."""

    def build(self, resources: Resources) -> Enricher:
        from rag.enrich.contextual import FIELDS, LlmContext, RuleContext
        from rag.models.template import Template

        return LlmContext(
            RuleContext(),
            self.asking(resources),
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            document_tokens=self.document_tokens,
            words=self.words,
        )


class Doc2QuerySpec(AskingSpec):
    """Adds the questions a chunk answers to what the sparse index reads, those that fit its text best.

    arXiv 1904.08375, filtered as in arXiv 2301.03266. The sparse index reads the metadata that its `fields` name.
    """

    needs: ClassVar[tuple[str, ...]] = ("llm", "ingest.index.sparse")
    use: Literal["doc2query"] = "doc2query"
    prompt: PromptName = "doc2query"
    """The prompt template, by name."""
    max_tokens: int = Field(600, ge=16)
    """How long a reply may get."""
    field: FieldName = "questions"
    """The metadata field that holds the questions."""
    count: int = Field(10, ge=1, le=100)
    """Questions the model is asked for."""
    keep: float = Field(0.3, gt=0, le=1)
    """The share of a chunk's questions that is kept, rounded up."""
    least: float | None = None
    """The least score of a question that is kept: a cosine, or what the cross-encoder gives."""
    cross_encoder: str | None = None
    """What says how well a question fits: a sentence-transformers `CrossEncoder` by its name on the Hugging Face hub
    (weights on this machine) or its folder; empty for the pipeline's embedder. Needs the extra `hf`."""

    def missing(self) -> str | None:
        if self.cross_encoder is None:
            return None
        from rag.config.weights import missing_package, missing_weights

        package = missing_package("sentence_transformers", extra="hf")
        return package or missing_weights(self.cross_encoder, allow_download=False)

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from _unread(self.field, "questions", pipeline, path)

    def scorer(self, resources: Resources) -> Scorer:
        from rag.enrich.doc2query import EmbedderScorer

        name = self.cross_encoder
        if name is None:
            return EmbedderScorer(resources.embedder)
        from rag.models.cross_encoder import SentenceTransformersCrossEncoder

        return resources.shared(("doc2query", name), lambda: SentenceTransformersCrossEncoder(name))

    def build(self, resources: Resources) -> Enricher:
        from rag.enrich.doc2query import FIELDS, Doc2Query
        from rag.enrich.schema import list_schema
        from rag.models.template import Template

        return Doc2Query(
            self.asking(resources, list_schema("questions", most=self.count)),
            Template.parse(resources.prompt(self.prompt), name=self.prompt, fields=FIELDS),
            self.scorer(resources),
            scored_by=self.cross_encoder or str(resources.embedder.identity),
            field=self.field,
            count=self.count,
            keep=self.keep,
            least=self.least,
        )


def _unread(field: str, what: str, pipeline: View, path: Path) -> Iterator[Conflict]:
    """The conflict of a field that is written for the sparse index, which does not read it."""
    sparse = pipeline.get("ingest.index.sparse", Bm25Spec)
    if sparse is not None and field not in sparse.fields:
        message = f"{field!r} is not among ingest.index.sparse.fields: nothing would search the {what}"
        yield (*path, "field"), message


BUILT_IN: tuple[type[EnricherSpec], ...] = (
    HeadingsSpec,
    MetadataSpec,
    MetadataRulesSpec,
    ContextualSpec,
    ContextualRulesSpec,
    Doc2QuerySpec,
    PrfFeaturesSpec,
)
