"""The n-gram index of an index directory, from the texts in its database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.index.codec import decode
from rag.index.derived import DerivedFile
from rag.index.ngrams.files import Corpus, keep
from rag.index.ngrams.index import NgramIndex
from rag.index.records import Manifest
from rag.text.words import FORMAT

if TYPE_CHECKING:
    from rag.index.specs import NgramsSpec

FOLDER = "ngrams"
LAYOUT = 2  # raised when segments hold something else; files of another are void and made anew
TEXTS = 100  # read in one statement


def count_new(path: Path, spec: NgramsSpec, connection: sqlite3.Connection, manifest: Manifest) -> None:
    """Bring the files up to date, so that no reader has to; only for who holds the writer's lock.

    Unfinished files of processes that were killed go first.
    """
    for unfinished in (path / FOLDER).glob("*/*.tmp"):
        unfinished.unlink(missing_ok=True)
    open_ngrams(path, spec, connection, manifest, lock=nullcontext())


def open_ngrams(
    path: Path,
    spec: NgramsSpec,
    connection: sqlite3.Connection,
    manifest: Manifest,
    *,
    lock: AbstractContextManager[object],
) -> NgramIndex:
    """Open the n-gram index of the generation that a connection stands on; what is missing is made first.

    Args:
        path: the index directory.
        connection: in a read transaction; used only until this returns.
        lock: held while the connection is used, and not while words are cut and sorted, which can take minutes.
    """
    with lock:
        numbers = connection.execute("SELECT id FROM documents ORDER BY id").fetchall()

    def texts(numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
        for start in range(0, len(numbers), TEXTS):
            some = ",".join(map(str, numbers[start : start + TEXTS]))
            query = f"SELECT document, text FROM texts WHERE document IN ({some})"
            with lock:
                found = connection.execute(query).fetchall()
            yield from ((number, decode(text)) for number, text in found)

    words = f"words-{FORMAT}-{'lowercase' if spec.lowercase else 'as-written'}"
    corpus = Corpus(
        folder=path / FOLDER / words,  # pipelines with different words may share an index
        key=f"{manifest.uuid} {words} {LAYOUT}",
        documents=np.array([number for (number,) in numbers], np.int64),
        texts=texts,
        lowercase=spec.lowercase,
    )
    return NgramIndex(keep(corpus), lowercase=spec.lowercase, most=spec.most)


def damaged_counts(path: Path) -> tuple[int, list[DerivedFile]]:
    """How many files the counts of an index directory have, and those whose bytes are not what was written."""
    files = [DerivedFile(each, "") for each in sorted((path / FOLDER).glob("*/[0-9]*.safetensors"))]
    return len(files), [file for file in files if not file.intact()]
