"""Sets of the package `ir_datasets` by their id, such as ``beir/scifact/test``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from rag.errors import ConfigError, MissingExtraError
from rag.evaluate.datasets import Dataset, Question

logger = logging.getLogger(__name__)


def load_ir_dataset(name: str, *, cache: Path) -> Dataset:
    """Read a set whose data `ir_datasets` has; nothing is downloaded for a collection that it has never fetched.

    The documents are written once, as rows, to a folder under `cache`.

    Raises:
        MissingExtraError: the package is not installed.
        ConfigError: there is no set of that id, it has no documents, queries or qrels, or its data are not there.
    """
    found = _find(name)
    missing = [part for part in ("docs", "queries", "qrels") if not found.has(part)]
    if missing:
        raise ConfigError(f"{name}: the set has no {' and no '.join(missing)}")
    home = Path(os.environ.get("IR_DATASETS_HOME", Path.home() / ".ir_datasets"))
    if not (home / name.split("/")[0]).is_dir():
        raise ConfigError(
            f"{name}: its data are not in {home}",
            hint=f"fetch them: `ir_datasets export {name} docs > docs.tsv` (this goes to the network)",
        )
    qrels: dict[str, dict[str, int]] = {}
    for qrel in found.qrels_iter():
        qrels.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
    questions = [
        Question(id=query.query_id, text=query.default_text(), relevant=qrels.get(query.query_id, {}))
        for query in found.queries_iter()
    ]
    kept = tuple(question for question in questions if question.kind == "judged")
    if not kept:
        raise ConfigError(f"{name}: no query has a relevant document")
    left_out = len(questions) - len(kept)
    corpus = cache / name.replace("/", "-") / "corpus.jsonl"
    if not corpus.is_file():
        _write(corpus, found.docs_iter())
    notes = (f"queries left out because no document is relevant to them: {left_out}",) if left_out else ()
    return Dataset(name=name, path=name, questions=kept, corpus=corpus, notes=notes)


class Query(Protocol):
    query_id: str

    def default_text(self) -> str: ...


class Qrel(Protocol):
    query_id: str
    doc_id: str
    relevance: int


class Doc(Protocol):
    doc_id: str

    def default_text(self) -> str: ...


class IrDataset(Protocol):
    """What of an `ir_datasets.Dataset` is used here."""

    def has(self, part: str) -> bool: ...

    def docs_iter(self) -> Iterator[Doc]: ...

    def queries_iter(self) -> Iterator[Query]: ...

    def qrels_iter(self) -> Iterator[Qrel]: ...


def _find(name: str) -> IrDataset:
    try:
        import ir_datasets
    except ModuleNotFoundError as error:
        if error.name != "ir_datasets":
            raise
        raise MissingExtraError(
            "ir-datasets", extra="eval", needed_for=f"{name!r} is no folder and no file; a set of that id"
        ) from error
    try:
        found: IrDataset = ir_datasets.load(name)
    except KeyError:
        raise ConfigError(f"{name}: there is no such folder, no such file, and no such id in ir_datasets") from None
    return found


def _write(path: Path, docs: Iterable[Doc]) -> None:
    """Whole or not at all. A title of its own stays one, so that the pipeline can treat it as one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    count = 0
    with partial.open("w", encoding="utf-8") as file:
        for doc in docs:
            title, text = getattr(doc, "title", None), getattr(doc, "text", None)
            split = isinstance(title, str) and isinstance(text, str)
            row = {"_id": doc.doc_id, "title": title if split else "", "text": text if split else doc.default_text()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    partial.replace(path)
    logger.info("wrote %d documents to %s", count, path)
