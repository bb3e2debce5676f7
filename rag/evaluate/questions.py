"""Questions about documents that the pipeline has indexed itself: one JSON object a line."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset, Question, Quote
from rag.evaluate.lines import asked, json_lines, text, texts

_FIELDS = frozenset({"question", "query", "text", "id", "_id", "answers", "answer", "answerable", "documents", "spans"})


def load_questions(path: Path) -> Dataset:
    """Read a file of questions::

        {"question": "Who pays for glasses?", "answers": ["the employer"], "documents": ["benefits.pdf"]}
        {"question": "How long is leave?", "spans": [{"document": "leave.md", "text": "27 days"}]}
        {"question": "Is there a gym?", "answerable": false}

    Only ``question`` is needed (``query`` and ``text`` are understood too). ``id`` counts lines where it is missing,
    ``answer`` is one answer, ``documents`` are relevant document ids, or an object of grades by id. A span has
    ``document`` and ``text``, ``start`` and ``end`` (in the document's text), or all of them.

    Raises:
        ConfigError: a line is something else, or an id stands there twice.
    """
    questions: dict[str, Question] = {}
    for where, row in json_lines(path):
        question = _question(row, where)
        if question.id in questions:
            raise ConfigError(f"another question has the id {question.id!r}", where=where)
        questions[question.id] = question
    if not questions:
        raise ConfigError(f"{path}: there is no question in it")
    return Dataset(name=path.stem, path=str(path), questions=tuple(questions.values()))


def _question(row: dict[str, object], where: str) -> Question:
    _misspelt(row, where)
    given = row.get("answers", row.get("answer"))
    answerable = row.get("answerable", True)
    if not isinstance(answerable, bool):
        raise ConfigError(f"answerable: expected true or false, got {answerable!r}", where=where)
    spans = row.get("spans") or []
    if not isinstance(spans, list):
        raise ConfigError(f"spans: expected a list, got {type(spans).__name__}", where=where)
    quotes = tuple(_quote(span, where) for span in spans)
    relevant = _grades(row.get("documents"), where)
    return Question(
        id=text(row, "id", "_id", where=where) if row.keys() & {"id", "_id"} else where.rpartition(":")[2],
        text=asked(row, "question", "query", "text", where=where),
        relevant=relevant or dict.fromkeys((quote.document for quote in quotes), 1),
        answers=() if given is None else texts(given, "answers", where=where),
        quotes=quotes,
        answerable=answerable,
        where=where,
    )


def _misspelt(row: dict[str, object], where: str) -> None:
    """Refuse a field that is nearly one of ours; others may stand in a row for its owner."""
    for name in row.keys() - _FIELDS:
        for meant in get_close_matches(name, _FIELDS - row.keys(), n=1, cutoff=0.85):
            raise ConfigError(f"unknown field {name!r}; did you mean {meant!r}?", where=where)


def _grades(given: object, where: str) -> dict[str, int]:
    if given is None:
        return {}
    if isinstance(given, dict) and all(type(grade) is int for grade in given.values()):
        return dict(given)
    if isinstance(given, dict):
        raise ConfigError(f"documents: expected whole numbers as grades, got {given!r:.60}", where=where)
    return dict.fromkeys(texts(given, "documents", where=where), 1)


def _quote(span: object, where: str) -> Quote:
    if not isinstance(span, dict) or not isinstance(span.get("document"), str):
        raise ConfigError(f"spans: expected an object with a document, got {span!r:.60}", where=where)
    quoted, start, end = span.get("text", ""), span.get("start"), span.get("end")
    places = [place for place in (start, end) if place is not None]
    if not isinstance(quoted, str) or not all(type(place) is int for place in places):
        raise ConfigError(f"spans: expected a text, and whole numbers as places, got {span!r:.80}", where=where)
    if not quoted and len(places) != 2:
        raise ConfigError(f"spans: expected a text, or start and end, got {span!r:.80}", where=where)
    return Quote(document=span["document"], text=quoted, start=start, end=end)
