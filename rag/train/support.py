"""What in the documents of a set answers its questions, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset, Question, gold_spans
from rag.evaluate.lines import json_lines
from rag.evaluate.metrics_answers import contains_answer
from rag.index.reader import Reader
from rag.text.sentences import sentences
from rag.types import Document, Span

Support: TypeAlias = tuple[tuple[Span, ...], ...]
"""What is needed, piece by piece; any one span of a piece will do."""


def supports(dataset: Dataset, reader: Reader) -> dict[str, Support]:
    """What answers each question, by its id; questions of which it is not known are left out.

    Of the first of these that is known: ``metadata.supporting_facts`` of the queries, ``[document, number of the
    sentence]`` under the title, from 0, all needed; gold spans, all needed; the sentences of the relevant documents
    that have an answer in them, any of them.

    Raises:
        ConfigError: a fact or a span is not of the index, or no question has any.
    """
    facts = _facts(Path(dataset.path) / "queries.jsonl")
    found: dict[str, Support] = {}
    for question in dataset.questions:
        if question.id in facts:
            support: Support = tuple((span,) for span in _sentences(facts[question.id], reader))
        elif question.quotes:
            support = tuple((span,) for span in gold_spans(question, reader.document))
        else:
            answering = tuple(_answering(question, reader))
            support = (answering,) if answering else ()
        if support:
            found[question.id] = support
    if not found:
        raise ConfigError(
            f"{dataset.path}: no question says which sentences answer it",
            hint="metadata.supporting_facts, metadata.gold_spans, or metadata.answers that stand in relevant documents",
        )
    return found


def _facts(queries: Path) -> Mapping[str, Sequence[tuple[str, int]]]:
    """The supporting facts by question, where the set has such a file and such facts."""
    found: dict[str, list[tuple[str, int]]] = {}
    if not queries.is_file():
        return found
    for where, row in json_lines(queries):
        meta = row.get("metadata")
        facts = meta.get("supporting_facts") if isinstance(meta, dict) else None
        if facts is None:
            continue
        if not isinstance(facts, list):
            raise ConfigError(f"supporting_facts: expected a list, got {type(facts).__name__}", where=where)
        found[str(row["_id"])] = [_fact(fact, where) for fact in facts]
    return found


def _fact(fact: object, where: str) -> tuple[str, int]:
    match fact:
        case [str(document), int(number)]:
            return document, number
    raise ConfigError(f"supporting_facts: expected [document, number], got {fact!r:.80}", where=where)


def _sentences(facts: Sequence[tuple[str, int]], reader: Reader) -> Iterator[Span]:
    """Sets number sentences by a splitting of their own, which is lost: a number beyond ours is left out."""
    for name, number in facts:
        try:
            document = reader.document(name)
        except LookupError as error:
            raise ConfigError(f"the document {name!r} of a supporting fact is not in the index") from error
        found = _below_title(document)
        if number < len(found):
            yield found[number]


def _answering(question: Question, reader: Reader) -> Iterator[Span]:
    if not question.answers:
        return
    for name in sorted(question.documents):
        try:
            document = reader.document(name)
        except LookupError:  # sets judge documents that have no text
            continue
        for span in _below_title(document):
            if contains_answer(document.text[span.start : span.end], question.answers):
                yield span


def _below_title(document: Document) -> list[Span]:
    """The document's sentences, without a heading that it begins with."""
    first = next(iter(document.layout.parts), None)
    start = first.end if first is not None and first.kind == "heading" and first.start == 0 else 0
    return [Span(document.id, start + one, start + end) for one, end in sentences(document.text[start:])]
