"""Sets in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels.tsv`` or ``qrels/<split>.tsv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset, Question, Quote
from rag.evaluate.lines import asked, json_lines, text, texts

OWN_SOURCE = ("arguana", "quora")
"""Sets whose queries are documents of their own corpus, by the names of their folders."""


def load_beir(folder: Path, *, split: str = "") -> Dataset:
    """Read a folder. A query's ``metadata`` may say more than BEIR knows:

    - ``answers``: reference answers.
    - ``answerable: false``, or the type ``null_query`` of MultiHop-RAG: the sources do not say. Such a query has no
      qrels; its answers are not references.
    - ``gold_spans``: ``[{doc, start, end, text}]``, in the document's text without the title.
    - ``answer_start``: where each answer begins in the one relevant document.
    - ``excluded_ids``: documents that do not count as found (BRIGHT). In the sets `OWN_SOURCE` a query's own document
      does not either, as in BEIR's evaluation; it has the query's id.

    Queries of which nothing is known (no qrels in the split, no answers) are left out, and counted in a note.

    Raises:
        ConfigError: a file is missing or broken, by line; or a qrel names an unknown query.
    """
    corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
    for path in (corpus, queries):
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file", hint="a set has corpus.jsonl, queries.jsonl, qrels.tsv")
    judgements = _qrels_file(folder, split)
    qrels = {} if judgements is None else read_qrels(judgements)
    questions: dict[str, Question] = {}
    own_source = folder.resolve().name.lower() in OWN_SOURCE
    for where, row in json_lines(queries):
        question = _question(row, qrels, where)
        if own_source:
            question = replace(question, excluded=question.excluded | {question.id})
        if question.id in questions:
            raise ConfigError(f"another query has the id {question.id!r}", where=where)
        questions[question.id] = question
    if not questions:
        raise ConfigError(f"{queries}: there is no query in it")
    if not corpus.stat().st_size:
        raise ConfigError(f"{corpus}: there is no document in it")
    strangers = sorted(qrels.keys() - questions.keys())
    if strangers:
        raise ConfigError(f"{judgements}: it judges the query {strangers[0]!r}, which {queries} does not have")
    kept = tuple(question for question in questions.values() if question.kind != "unjudged")
    if not kept:
        wanted = f"no query of {queries} brings an answer or a gold span"
        if judgements is None:
            raise ConfigError(f"{folder}: there is neither qrels.tsv nor a folder qrels, and {wanted}")
        raise ConfigError(f"{judgements}: it judges no document relevant, and {wanted}")
    left_out = len(questions) - len(kept)
    notes = (f"queries left out because nothing is judged for them: {left_out}",) if left_out else ()
    return Dataset(name=folder.resolve().name, path=str(folder), questions=kept, corpus=corpus, notes=notes)


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query id -> document id -> grade, from ``query<TAB>document<TAB>grade`` or TREC's four columns.

    Raises:
        ConfigError: a line is neither, a grade is no whole number, or a pair is judged twice with different grades.
    """
    found: dict[str, dict[str, int]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: it cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        if len(cells) not in (3, 4):
            raise ConfigError(f"expected 3 or 4 columns, found {len(cells)}", where=f"{path}:{number}")
        query, document, grade = cells[0], cells[-2], cells[-1]
        try:
            value = float(grade)
            if value != int(value):
                raise ValueError("a fraction")
        except (ValueError, OverflowError):
            if number == 1:  # the line that names the columns
                continue
            raise ConfigError(f"expected a whole number, found {grade!r}", where=f"{path}:{number}") from None
        if found.setdefault(query, {}).setdefault(document, int(value)) != int(value):
            raise ConfigError(f"{query!r} and {document!r} are judged twice, differently", where=f"{path}:{number}")
    return found


def _qrels_file(folder: Path, split: str) -> Path | None:
    """The file of judgements; ``None`` where there is none at all."""
    single, several = folder / "qrels.tsv", folder / "qrels"
    there = sorted(path.stem for path in several.glob("*.tsv"))
    if not split and single.is_file():
        return single
    wanted = split or ("test" if "test" in there else there[0] if len(there) == 1 else "")
    if wanted in there:
        return several / f"{wanted}.tsv"
    if split or there:
        raise ConfigError(f"{folder}: no qrels of the split {split!r}", hint=f"splits: {', '.join(there) or 'none'}")
    return None


def _question(row: dict[str, object], qrels: Mapping[str, Mapping[str, int]], where: str) -> Question:
    identifier = text(row, "_id", "id", where=where)
    meta = row.get("metadata") or {}
    if not isinstance(meta, dict):
        raise ConfigError(f"metadata: expected an object, got {type(meta).__name__}", where=where)
    relevant = qrels.get(identifier, {})
    answerable = meta.get("answerable", True) is not False and meta.get("type") != "null_query"
    answers = texts(meta.get("answers") or [], "metadata.answers", where=where) if answerable else ()
    return Question(
        id=identifier,
        text=asked(row, "text", where=where),
        relevant=dict(relevant),
        answers=tuple(filter(None, answers)),
        quotes=_quotes(meta, answers, relevant, where) if answerable else (),
        answerable=answerable,
        excluded=frozenset(texts(meta.get("excluded_ids") or [], "metadata.excluded_ids", where=where)),
        where=where,
    )


def _quotes(
    meta: Mapping[str, object], answers: Sequence[str], relevant: Mapping[str, int], where: str
) -> tuple[Quote, ...]:
    spans, starts = meta.get("gold_spans"), meta.get("answer_start")
    if isinstance(spans, list):
        return tuple(_span(span, where) for span in spans)
    if isinstance(starts, list) and len(starts) == len(answers) and len(relevant) == 1:
        (document,) = relevant
        return tuple(
            Quote(document=document, text=answer, start=start)
            for answer, start in zip(answers, starts, strict=True)
            if answer and isinstance(start, int)
        )
    return ()


def _span(span: object, where: str) -> Quote:
    if isinstance(span, dict):
        document, start, end, quoted = (span.get(name) for name in ("doc", "start", "end", "text"))
        if isinstance(document, str) and isinstance(start, int) and isinstance(end, int) and isinstance(quoted, str):
            return Quote(document=document, text=quoted, start=start, end=end)
    raise ConfigError(f"gold_spans: expected doc, start, end and text, got {span!r:.80}", where=where)
