"""MinHash signatures of every chunk's text, in parts beside the index (`rag.index.parts`): made at ingest, one byte a
place, 126 bytes a chunk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexMismatchError
from rag.index.base import Rows
from rag.index.parts import Kept, Rowed, keep, read, rowed
from rag.index.tensors import Tensor
from rag.text.minhash import BANDS, NAME, ROWS, Signature, shingles, signature

if TYPE_CHECKING:
    from rag.index.reader import Reader

FOLDER = "signatures"
_NAME = "minhash"


def kept_signatures(reader: Reader) -> Kept:
    """Those of every chunk; what is missing is made now, and stays."""
    rows = _rows(reader)

    def encode(some: Rows) -> tuple[NDArray[np.int64], dict[str, Tensor]]:
        made = np.stack([signature(shingles(text)) for text in rows.texts(some)])
        return np.ones(len(made), np.int64), {_NAME: made}

    return keep(rows, _NAME, encode=encode)


def stored_signatures(reader: Reader) -> Kept:
    """Those of every chunk as an ingest left them.

    Raises:
        IndexMismatchError: a chunk has none; says how many.
    """
    rows = _rows(reader)
    kept = read(rows, _NAME)
    missing = len(kept.missing(rows.live))
    if missing:
        raise IndexMismatchError(
            f"{rows.folder}: {missing} of {np.count_nonzero(rows.live)} chunks have no MinHash signature",
            hint="`rag ingest` with this pipeline makes those that are missing, from the texts the index holds",
        )
    return kept


def held_signatures(reader: Reader) -> dict[int, Signature]:
    """By chunk id, of those live chunks that have one; none where no ingest made any."""
    rows = _rows(reader)
    kept = read(rows, _NAME)
    there = np.flatnonzero(kept.places >= 0)
    return dict(zip(reader.chunk_ids[there].tolist(), signatures_of(kept, there), strict=True))


def signatures_of(kept: Kept, rows: Rows) -> NDArray[np.int8]:
    """(rows, places) the signatures of some live rows."""
    found = np.empty((len(rows), BANDS * ROWS), np.int8)
    for at, (part, place) in enumerate(kept.find(kept.places[rows])):
        found[at] = cast("NDArray[np.int8]", part.tensors[_NAME])[place]
    return found


def _rows(reader: Reader) -> Rowed:
    """Signatures are of a chunk's own text, without what enrichment put before it."""
    rows = rowed(reader, FOLDER, NAME)
    return replace(rows, texts=lambda some: [chunk.text for chunk in reader.chunks(some.tolist())])
