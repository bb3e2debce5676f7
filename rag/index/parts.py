"""What an encoder made of every chunk, kept in files beside the index: so many rows of values for each chunk.

A file (a part) holds at most `PART` chunks and is complete once its note is written, so that a first encoding that is
cut short goes on where it stopped. New chunks fill up the last part, then begin others. Deleted chunks are passed over;
a part of which more than 20 % are deleted is written anew from what it holds. Nothing is encoded twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask, Rows
from rag.index.derived import DEAD, DerivedFile, rows_of
from rag.index.tensors import Tensor, map_tensors, write_tensors

if TYPE_CHECKING:
    from rag.index.reader import Reader

logger = logging.getLogger(__name__)

PART = 1024  # chunks
STARTS = "starts"  # the name of the tensor that says where the rows of each chunk begin


@dataclass(frozen=True, slots=True)
class Rowed:
    """What an index over chunks is made from: one generation's rows, and what tells them apart from another index's.

    Attributes:
        folder: where the parts may lie; made when they are written.
        key: the index and the encoder. Parts of another key are void.
        chunks: (rows,) the id of each row's chunk; its text never changes.
        live: (rows,) false where the chunk was deleted.
        texts: gives the indexed texts of some live rows.
    """

    folder: Path
    key: str
    chunks: NDArray[np.int64]
    live: Mask
    texts: Callable[[Rows], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows ``starts[i]`` to ``starts[i + 1]`` of every tensor are those of ``chunks[i]``."""

    chunks: NDArray[np.int64]
    starts: NDArray[np.int64]
    tensors: Mapping[str, Tensor]

    def only(self, kept: Mask) -> Part:
        """The part without the other chunks, in memory."""
        lengths = np.diff(self.starts)
        rows = np.repeat(kept, lengths)
        return Part(
            self.chunks[kept], starts_of(lengths[kept]), {name: rest[rows] for name, rest in self.tensors.items()}
        )

    def followed_by(self, other: Part) -> Part:
        """Both, in memory."""
        return Part(
            np.concatenate([self.chunks, other.chunks]),
            np.concatenate([self.starts, self.starts[-1] + other.starts[1:]]),
            {name: np.concatenate([mine, other.tensors[name]]) for name, mine in self.tensors.items()},
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of one generation. A place counts the chunks of all parts; `rows` are those of the index.

    Attributes:
        bases: (parts + 1,) the first place of each part.
        rows: (places,) the index's row of each, -1 where the chunk was deleted or stands elsewhere too.
        places: (rows of the index,) the place of each, -1 where it was deleted.
    """

    parts: Sequence[Part]
    bases: NDArray[np.int64]
    rows: Rows
    places: Rows

    def find(self, places: Rows) -> list[tuple[Part, int]]:
        """The part of each place, and its number there."""
        numbers = np.searchsorted(self.bases, places, side="right") - 1
        return [
            (self.parts[number], place)
            for number, place in zip(numbers.tolist(), (places - self.bases[numbers]).tolist(), strict=True)
        ]

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for part in self.parts for tensor in part.tensors.values())

    def missing(self, live: Mask) -> Rows:
        """The live rows of the index that no part holds."""
        return np.flatnonzero(live & (self.places < 0))


def rowed(reader: Reader, name: str, made_by: str) -> Rowed:
    """The chunks of a reader, for parts in a folder `name` of the index.

    Args:
        made_by: what tells the encoder from others; each has a folder of its own.
    """
    digest = blake2b(made_by.encode(), digest_size=8).hexdigest()
    return Rowed(
        folder=reader.path / name / digest,
        key=f"{reader.manifest.uuid} {made_by}",
        chunks=reader.chunk_ids,
        live=reader.live,
        texts=lambda rows: [chunk.indexed_text for chunk in reader.chunks(rows.tolist())],
    )


def read(rows: Rowed, name: str) -> Kept:
    """The parts in the folder `name` as they are: nothing is encoded or written."""
    held = _read(rows.folder / name, rows.key, rows.chunks[rows.live])
    return _placed([part for _, part in held], rows)


def keep(rows: Rowed, name: str, *, encode: Callable[[Rows], tuple[NDArray[np.int64], Mapping[str, Tensor]]]) -> Kept:
    """Read the parts in the folder `name` and bring them up to date.

    Args:
        encode: gives for some rows of the index how many rows of values each of them has, and the tensors.
    """
    folder, key, chunks, live = rows.folder / name, rows.key, rows.chunks, rows.live
    held = {
        number: part if alive.mean() >= 1 - DEAD else _write(folder, key, number, part.only(alive))
        for number, part in _read(folder, key, chunks[live])
        for alive in [np.isin(part.chunks, chunks[live])]
    }
    known = np.concatenate([part.chunks for part in held.values()]) if held else np.empty(0, np.int64)
    missing = np.flatnonzero(live & np.isin(chunks, known, invert=True))
    done, free = 0, (number for number in count() if number not in held)
    while done < len(missing):
        number = next((number for number, part in held.items() if len(part.chunks) < PART), None)
        room = PART - (0 if number is None else len(held[number].chunks))
        some = missing[done : done + room]
        lengths, tensors = encode(some)
        new = Part(chunks[some], starts_of(lengths), tensors)
        if number is None:
            number = next(free)
        else:
            new = held[number].followed_by(new)
        held[number] = _write(folder, key, number, new)
        done += len(some)
        if len(missing) > PART:
            logger.info("%s: encoded %d of %d chunks", folder, done, len(missing))
    return _placed([held[number] for number in sorted(held)], rows)


def starts_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of some stretches begins, and where the last one ends.

    >>> starts_of(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _read(folder: Path, key: str, live: NDArray[np.int64]) -> list[tuple[int, Part]]:
    found: list[tuple[int, Part]] = []
    for path in sorted(folder.glob("[0-9]*.safetensors")):
        part = _load(path, key)
        if part is not None and np.isin(part.chunks, live).any():  # else its number is free
            found.append((int(path.stem), part))
    return found


def _load(path: Path, key: str) -> Part | None:
    chunks = DerivedFile(path, key).chunks()
    if chunks is None:
        return None
    tensors = map_tensors(path)
    return Part(chunks, tensors.pop(STARTS).astype(np.int64), tensors)


def _write(folder: Path, key: str, number: int, part: Part) -> Part:
    """The part, mapped from its file; in memory where the folder cannot be written to."""
    tensors: dict[str, Tensor] = {**part.tensors, STARTS: part.starts}
    path = folder / f"{number:06}.safetensors"
    DerivedFile(path, key).write(part.chunks, lambda path: write_tensors(path, tensors))
    return _load(path, key) or part


def _placed(parts: Sequence[Part], index: Rowed) -> Kept:
    held = np.concatenate([part.chunks for part in parts] or [np.empty(0, np.int64)])
    rows = rows_of(index, held) if len(index.chunks) else np.full(len(held), -1)
    # Two processes that encode at the same time may keep a chunk in two parts: its first place counts.
    there = np.flatnonzero(rows >= 0)
    _, first = np.unique(rows[there], return_index=True)
    alone = np.full(len(held), -1)
    alone[there[first]] = rows[there[first]]
    places = np.full(len(index.chunks), -1)
    places[alone[there[first]]] = there[first]
    return Kept(parts, starts_of(np.array([len(part.chunks) for part in parts], np.int64)), alone, places)
