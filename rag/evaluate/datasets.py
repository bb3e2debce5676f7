"""What is asked and what is right: the questions of an evaluation set, and the documents if it brings its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rag.errors import ConfigError
from rag.evaluate.report import Kind
from rag.types import Document, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A stretch of a document that holds what is right: by its text, its place, or both.

    With a text, `start` only says which of its occurrences is meant, so it may count from elsewhere (the text without
    its title); without one, ``[start, end)`` counts in `Document.text` as the pipeline has it.
    """

    document: str
    text: str = ""
    start: int | None = None
    end: int | None = None

    def find(self, document: Document) -> Span | None:
        """Where it stands in `document`; ``None`` if it does not."""
        if not self.text:
            if self.start is None or self.end is None or not 0 <= self.start < self.end <= len(document.text):
                return None
            return Span(document.id, self.start, self.end)
        places = _occurrences(document.text, self.text)
        if not places:
            return None
        start = min(places, key=lambda place: abs(place - (self.start or 0)))
        return Span(document.id, start, start + len(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and what is known of the right result; what is not known is empty.

    `relevant` maps document ids to grades, above 0 is relevant. `answers` are equally right. `answerable` is false
    where the right answer is that the sources do not say. Documents in `excluded` are taken out of what is found before
    anything is cut off: the question's own source in BRIGHT, ArguAna and Quora. `where` is its line in a file.
    """

    id: str
    text: str
    relevant: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()
    answerable: bool = True
    excluded: frozenset[str] = frozenset()
    where: str = field(default="", compare=False)

    @property
    def kind(self) -> Kind:
        if not self.answerable:
            return "unanswerable"
        known = self.answers or self.quotes or any(grade > 0 for grade in self.relevant.values())
        return "judged" if known else "unjudged"

    @property
    def documents(self) -> frozenset[str]:
        """The relevant documents."""
        return frozenset(document for document, grade in self.relevant.items() if grade > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An evaluation set.

    `corpus` is a file that the connector `rows` reads, ``None`` where the questions are about documents that the
    pipeline has indexed itself. `notes` say what the reader of the figures should know.
    """

    name: str
    path: str
    questions: tuple[Question, ...]
    corpus: Path | None = None
    notes: tuple[str, ...] = ()

    def only(self, ids: Sequence[str]) -> Dataset:
        """The same set with these questions, in the order of the set.

        Raises:
            ConfigError: there is no question of one of the ids.
        """
        unknown = sorted(set(ids) - {question.id for question in self.questions})
        if unknown:
            raise ConfigError(f"{self.path}: there is no question {unknown[0]!r} ({len(unknown)} of these ids unknown)")
        wanted = set(ids)
        return replace(self, questions=tuple(question for question in self.questions if question.id in wanted))

    def sample(self, count: int, *, seed: int) -> Dataset:
        """The same set with `count` of its questions, drawn at random, in the order of the set."""
        if count >= len(self.questions):
            return self
        kept = sorted(random.Random(seed).sample(range(len(self.questions)), count))
        note = f"{count} of the {len(self.questions)} questions, drawn with seed {seed}"
        return replace(self, questions=tuple(self.questions[at] for at in kept), notes=(*self.notes, note))


def load_dataset(source: str | Path, *, split: str = "", cache: Path = Path(".ragloom/eval")) -> Dataset:
    """Read an evaluation set.

    Args:
        source: a folder in BEIR's layout, a ``.jsonl`` file of questions, or the id of a set of `ir_datasets`.
        split: for a BEIR folder with several files under ``qrels/``: which. Empty: ``test``, or the only one.
        cache: the folder under which the documents of an `ir_datasets` set are kept.

    Raises:
        ConfigError: there is no such set, or it is not what it should be; with file and line.
        MissingExtraError: it can only be an id of `ir_datasets`, which is not installed.
    """
    path = Path(source)
    if path.is_dir():
        from rag.evaluate.beir import load_beir

        return load_beir(path, split=split)
    if path.is_file():
        from rag.evaluate.questions import load_questions

        return load_questions(path)
    if path.suffix or str(source).startswith((".", "/", "~")) or str(source).endswith("/"):
        raise ConfigError(f"{source}: there is no such folder or file")
    from rag.evaluate.ir_sets import load_ir_dataset

    return load_ir_dataset(str(source), cache=cache)


def gold_spans(question: Question, document: Callable[[str], Document]) -> tuple[Span, ...]:
    """The question's quotes as spans of the documents that the pipeline has.

    Args:
        document: gives a document by its id, or raises `LookupError`.

    Raises:
        ConfigError: a quote's document is not indexed, or the quote does not stand in it.
    """
    found = []
    for quote in question.quotes:
        try:
            span = quote.find(document(quote.document))
        except LookupError as error:
            raise ConfigError(
                f"question {question.id!r}: the document {quote.document!r} is not in the pipeline's index",
                where=question.where,
                hint="`rag ingest` first, and use document ids as `rag search --json` shows them",
            ) from error
        if span is None:
            raise ConfigError(
                f"question {question.id!r}: {quote.text[:60]!r} does not stand in the document {quote.document!r}"
                if quote.text
                else f"question {question.id!r}: the document {quote.document!r} has no range "
                f"[{quote.start}, {quote.end})",
                where=question.where,
            )
        found.append(span)
    return tuple(found)


def _occurrences(text: str, quote: str) -> list[int]:
    found, at = [], text.find(quote)
    while at >= 0:
        found.append(at)
        at = text.find(quote, at + 1)
    return found
