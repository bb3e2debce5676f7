"""Postings as one generation has them: where each term stands, over all segments, deleted chunks left out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask, Rows
from rag.index.codec import widen
from rag.index.database import explained
from rag.index.inverted import TermPostings
from rag.index.segments import Segment

TERMS = 400  # looked up in one statement


@dataclass(frozen=True, slots=True)
class AllPostings:
    """Term number n stands in ``rows[starts[n]:starts[n + 1]]``, ascending, with those counts."""

    terms: dict[str, int]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.int64]


class Postings:
    """Exact counts of one generation: they do not depend on how the documents came in, or what was there before.

    Attributes:
        lengths: (rows,) terms of each chunk.
        live: (rows,) false where the chunk was deleted.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: RLock, segments: Sequence[Segment], live: Mask
    ) -> None:
        self.path = path
        self.live = live
        lengths = [np.zeros(s.rows, np.int64) if s.lengths is None else s.lengths for s in segments]
        self.lengths: NDArray[np.int64] = np.concatenate(lengths or [np.empty(0, np.int64)])
        self._connection = connection
        self._lock = lock
        ends = np.cumsum([segment.rows for segment in segments]).tolist()
        self._bases = {segment.id: end - segment.rows for segment, end in zip(segments, ends, strict=True)}
        self._all_live = bool(live.all())

    @property
    def size(self) -> int:
        """Live chunks."""
        return int(np.count_nonzero(self.live))

    @property
    def average_length(self) -> float:
        """Terms of a live chunk, in the mean; 0 for an empty index."""
        return float(self.lengths[self.live].mean()) if self.size else 0.0

    def find(self, terms: Iterable[str]) -> dict[str, tuple[Rows, NDArray[np.int64]]]:
        """For each of `terms` that occurs: the rows it is in, ascending, and how often in each."""
        parts: dict[str, list[tuple[Rows, NDArray[np.int64]]]] = {}
        wanted = list(dict.fromkeys(terms))
        for start in range(0, len(wanted), TERMS):
            some = wanted[start : start + TERMS]
            for segment, term, stored, counts, _ in self._select("rows, counts, NULL FROM postings", some):
                rows = np.frombuffer(stored, "<u4").astype(np.int64) + self._bases[segment]
                parts.setdefault(term, []).append((rows, widen(counts, len(rows))))
        joined = ((term, self._live(_joined(some))) for term, some in parts.items())
        return {term: (rows, counts) for term, (rows, counts) in joined if len(rows)}

    def everything(self) -> AllPostings:
        """The postings of all terms, for an index that fits into memory."""
        terms: dict[str, int] = {}
        numbers, rows, counts = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for segment, base in self._bases.items():
            with self._lock, explained(self.path):
                stored = self._connection.execute(
                    "SELECT term, rows, counts FROM postings WHERE segment = ?", (segment,)
                ).fetchall()
            sizes = [len(some) // 4 for _, some, _ in stored]
            numbers.append(np.repeat([terms.setdefault(term, len(terms)) for term, _, _ in stored], sizes))
            rows.append(np.frombuffer(b"".join([some for _, some, _ in stored]), "<u4") + base)
            counts.append(widen(b"".join([some for _, _, some in stored]), sum(sizes)))
        of, all_rows, all_counts = np.concatenate(numbers), np.concatenate(rows), np.concatenate(counts)
        order = np.argsort(of, kind="stable")  # stable: within a term by segment, which is by row
        order = order[self.live[all_rows[order]]]
        frequencies = np.bincount(of[order], minlength=len(terms))
        names, found = list(terms), np.flatnonzero(frequencies)
        starts = np.concatenate(([0], np.cumsum(frequencies[found])))
        numbered = {names[number]: at for at, number in enumerate(found.tolist())}
        return AllPostings(numbered, starts, all_rows[order].astype(np.int32), all_counts[order])

    def frequency(self, term: str) -> int:
        """In how many live chunks the term occurs."""
        found = self.find([term])
        return len(found[term][0]) if found else 0

    def phrase_count(self, terms: Sequence[str]) -> int:
        """How often `terms` follow each other directly, over all live chunks."""
        places = self._places(terms)
        if not terms or len(places) < len(set(terms)):
            return 0
        starts = places[terms[0]]
        for shift, term in enumerate(terms[1:], 1):
            starts = np.intersect1d(starts, places[term] - shift, assume_unique=True)
        return len(starts)

    def _places(self, terms: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The places of each term as row * 2**32 + position."""
        parts: dict[str, list[NDArray[np.int64]]] = {}
        columns = "rows, counts, positions FROM postings"
        for segment, term, stored_rows, stored_counts, stored in self._select(columns, list(dict.fromkeys(terms))):
            rows = np.frombuffer(stored_rows, "<u4").astype(np.int64) + self._bases[segment]
            counts = widen(stored_counts, len(rows))
            at = np.repeat(rows, counts)
            places = (at << 32) + widen(stored, len(at))
            parts.setdefault(term, []).append(places[self.live[at]])
        return {term: np.concatenate(some) for term, some in parts.items()}

    def _select(self, columns: str, terms: Sequence[str]) -> list[tuple[int, str, bytes, bytes, bytes]]:
        segments, marks = ",".join(map(str, self._bases)), ",".join("?" * len(terms))
        query = f"SELECT segment, term, {columns} WHERE segment IN ({segments}) AND term IN ({marks}) ORDER BY segment"
        with self._lock, explained(self.path):
            return self._connection.execute(query, list(terms)).fetchall()

    def _live(self, found: tuple[Rows, NDArray[np.int64]]) -> tuple[Rows, NDArray[np.int64]]:
        if self._all_live:
            return found
        kept = self.live[found[0]]
        return found[0][kept], found[1][kept]


def stored_postings(connection: sqlite3.Connection, segment: int) -> Iterator[TermPostings]:
    """All postings of one segment as they are stored, in the order of terms."""
    columns = "term, rows, counts, positions FROM postings"
    for row in connection.execute(f"SELECT {columns} WHERE segment = ? ORDER BY term", (segment,)):
        yield TermPostings(*row)


def _joined(parts: Sequence[tuple[Rows, NDArray[np.int64]]]) -> tuple[Rows, NDArray[np.int64]]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([counts for _, counts in parts])
