"""Typed metadata of every chunk, written by a language model or found by rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.enrich.asking import Asking, Question, the_object
from rag.enrich.base import Batched, Cut
from rag.enrich.keywords import TermStatistics
from rag.enrich.rules import Excerpt, by_rules
from rag.enrich.schema import Value, described, stored, validated
from rag.enrich.tally import Cost, EnrichmentTally
from rag.models.template import Template, as_data
from rag.types import Chunk, Document

if TYPE_CHECKING:
    from rag.enrich.specs import FieldSpec

FIELDS = frozenset({"title", "text", "fields"})
"""What the `metadata` template may use."""

MADE_BY = "metadata_by"
"""The field that says who filled the others: ``llm`` or ``rules``."""


class RuleMetadata(Batched):
    """Fills the fields that have a rule, without any model, and says so in the field `mark`.

    Keywords weigh terms by all chunks of the run so far.
    """

    def __init__(self, fields: Sequence[FieldSpec], terms: TermStatistics, *, mark: str = MADE_BY) -> None:
        self.fields = fields
        self.terms = terms
        self.mark = mark
        self._counted: set[str] = set()

    @property
    def identity(self) -> str:
        return self.terms.analyzer.name

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        self.count(batch)
        return [[self.filled(chunk, cut.document) for chunk in cut.chunks] for cut in batch]

    def count(self, batch: Sequence[Cut]) -> None:
        """Take the batch's chunks into the statistics that keywords are weighed by, each once."""
        new = {chunk.id: chunk.text for cut in batch for chunk in cut.chunks if chunk.id not in self._counted}
        self._counted.update(new)
        self.terms.add(list(new.values()))

    def filled(self, chunk: Chunk, document: Document) -> Chunk:
        found = by_rules(self.fields, Excerpt(chunk, document, self.terms))
        return with_values(chunk, document, found, {self.mark: "rules"})


class LlmMetadata(Batched):
    """Asks a language model to fill the fields from the chunk's text and its document's title.

    A reply that does not fit the fields is asked for once more, with what is wrong; where there is no usable reply, the
    rules fill the fields and the chunk's mark says so. Framework of arXiv 2512.05411.
    """

    def __init__(self, fields: Sequence[FieldSpec], rules: RuleMetadata, asking: Asking, template: Template) -> None:
        self.fields = fields
        self.rules = rules
        self.asking = asking
        self.template = template

    @property
    def identity(self) -> str:
        return "\n".join((self.asking.identity, self.template.system, self.template.user, self.rules.identity))

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        self.rules.count(batch)
        replies = iter(self.asking.ask_all(self._questions(batch), self._read, tally))
        return [[self._filled(chunk, cut.document, next(replies)) for chunk in cut.chunks] for cut in batch]

    def cost(self, batch: Sequence[Cut]) -> Cost:
        return self.asking.cost(self._questions(batch))

    def _questions(self, batch: Sequence[Cut]) -> list[Question]:
        fields = "\n".join(f"- {field.name}: {described(field)}" for field in self.fields)
        return [
            Question(chunk, self.template.render({**framed(chunk, cut.document), "fields": fields}))
            for cut in batch
            for chunk in cut.chunks
        ]

    def _read(self, chunk: Chunk, reply: str) -> dict[str, Value]:
        return validated(self.fields, the_object(reply), chunk.text)

    def _filled(self, chunk: Chunk, document: Document, values: Mapping[str, Value] | None) -> Chunk:
        if values is None:
            return self.rules.filled(chunk, document)
        return with_values(chunk, document, values, {self.rules.mark: "llm"})


def framed(chunk: Chunk, document: Document) -> dict[str, str]:
    """Title and text as data that cannot leave its place in a prompt."""
    title = document.meta.get("title")
    return {"title": as_data(title) if isinstance(title, str) else "", "text": as_data(chunk.text)}


def with_values(chunk: Chunk, document: Document, values: Mapping[str, Value], mark: Mapping[str, str]) -> Chunk:
    """The chunk with the values and the mark in its metadata; what the source itself says of it is not overwritten."""
    new = {name: value for name, value in stored(values).items() if document.meta.get(name) is None}
    return replace(chunk, meta={**new, **mark, **chunk.meta})
