"""Contextual retrieval: a note before every chunk that says where in the document it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from rag.enrich.asking import Asking, Question, UnusableReplyError
from rag.enrich.base import Batched, Cut
from rag.enrich.keywords import TermStatistics
from rag.enrich.metadata import framed
from rag.enrich.rules import Excerpt, summary, title
from rag.enrich.tally import Cost, EnrichmentTally
from rag.models.template import Template, as_data
from rag.models.tokens import estimated_tokens
from rag.types import Chunk, Document, Span

FIELDS = frozenset({"title", "document", "text"})
"""What the `contextual` template may use."""

MADE_BY = "context_by"
"""The field that says who wrote the note: ``llm`` or ``rules``."""


class RuleContext(Batched):
    """Notes without any model: the document's title, the headings above the chunk, the document's first sentence.

    With a `field` they are metadata under that name, for a sparse index that reads it, and vectors do not know them.
    """

    identity = ""

    def __init__(self, *, field: str | None = None) -> None:
        self.field = field

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        return [self.noted(cut.chunks, cut.document) for cut in batch]

    def noted(self, chunks: Sequence[Chunk], document: Document) -> list[Chunk]:
        """The chunks with their notes; as it was each for which the document offers nothing."""
        terms = TermStatistics()
        whole = Chunk(span=Span(document.id, 0, len(document.text)), text=document.text)
        first = summary(Excerpt(whole, document, terms))
        noted = []
        for chunk in chunks:
            opening = first if first and first not in " ".join(chunk.text.split()) else None
            note = "\n".join(part for part in (title(Excerpt(chunk, document, terms)), opening) if part)
            noted.append(self._with(chunk, note) if note else chunk)
        return noted

    def _with(self, chunk: Chunk, note: str) -> Chunk:
        if self.field is None:
            return with_note(chunk, note, "rules")
        return replace(chunk, meta={**chunk.meta, self.field: note})


class LlmContext(Batched):
    """Asks a language model for the note, with the document and the chunk before it.

    The document comes first in the prompt and is the same for all its chunks, so that a server that keeps the keys and
    values of prefixes reads it once. One of more than `document_tokens` is given in stretches of equal length, to each
    chunk the one its middle stands in. Where there is no usable reply, the note is that of the rules and `context_by`
    says so. Contextual retrieval, Anthropic, 2024 (engineering post; no paper).
    """

    def __init__(
        self, rules: RuleContext, asking: Asking, template: Template, *, document_tokens: int, words: int
    ) -> None:
        self.rules = rules
        self.asking = asking
        self.template = template
        self.document_tokens = document_tokens
        self.words = words

    @property
    def identity(self) -> str:
        return "\n".join((self.asking.identity, self.template.system, self.template.user))

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        notes = iter(self.asking.ask_all(self._questions(batch), self._read, tally))
        return [self._noted(cut, [next(notes) for _ in cut.chunks]) for cut in batch]

    def cost(self, batch: Sequence[Cut]) -> Cost:
        return self.asking.cost(self._questions(batch))

    def _questions(self, batch: Sequence[Cut]) -> list[Question]:
        return [question for cut in batch for question in self._about(cut)]

    def _about(self, cut: Cut) -> list[Question]:
        text = cut.document.text
        borders = stretches(text, tokens=self.document_tokens)
        given = [as_data(text[start:end]) for start, end in borders]
        questions = []
        for chunk in cut.chunks:
            middle = (chunk.span.start + chunk.span.end) // 2
            at = next(at for at, (_, end) in enumerate(borders) if middle < end or end == len(text))
            values = {**framed(chunk, cut.document), "document": given[at]}
            questions.append(Question(chunk, self.template.render(values)))
        return questions

    def _read(self, chunk: Chunk, reply: str) -> str:
        words = reply.split()
        if not words:
            raise UnusableReplyError("expected one or two sentences, got nothing")
        return " ".join(words[: self.words])

    def _noted(self, cut: Cut, notes: Sequence[str | None]) -> list[Chunk]:
        by_rules = self.rules.noted(cut.chunks, cut.document) if None in notes else cut.chunks
        return [
            ruled if note is None else with_note(chunk, note, "llm")
            for chunk, ruled, note in zip(cut.chunks, by_rules, notes, strict=True)
        ]


def stretches(text: str, *, tokens: int) -> list[tuple[int, int]]:
    """Ranges of about equal length that cover a text, each of about `tokens` at most, cut at a line or a word's end.

    >>> stretches("one two three four", tokens=3)
    [(0, 8), (8, 18)]
    """
    count = ceil(estimated_tokens(text) / tokens)
    borders = [0]
    for at in range(1, count):
        target = len(text) * at // count
        least = borders[-1] + 1
        cut = text.rfind("\n", max(least, target - len(text) // count // 4), target) + 1
        cut = cut or text.rfind(" ", least, target) + 1
        borders.append(cut if cut >= least else max(least, target))
    return list(zip(borders, [*borders[1:], len(text)], strict=True))


def with_note(chunk: Chunk, note: str, made_by: str) -> Chunk:
    """The chunk with a note before any context it has."""
    context = f"{note}\n{chunk.context}" if chunk.context else note
    return replace(chunk, context=context, meta={**chunk.meta, MADE_BY: made_by})
