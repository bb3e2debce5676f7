"""Making postings: inverting the terms of new chunks, and merging the postings of segments.

Both work on flat arrays over many terms at once; the only loop over terms cuts finished bytes. All counts of a segment
have one width, and all positions: 1, 2, 4 or 8 bytes, as the largest needs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

BATCH_BYTES = 1 << 19  # of stored postings, merged at a time
LONG_BYTES = 1 << 16  # of one term's stored postings, from which they are not unpacked with those of others


@dataclass(frozen=True, slots=True)
class TermPostings:
    """Where one term stands in one segment, as stored.

    `rows` are uint32 offsets in the segment, ascending; `counts` how often the term is in each; `positions` its places
    in the chunk's list of terms, row after row.
    """

    term: str
    rows: bytes
    counts: bytes
    positions: bytes

    @property
    def bytes(self) -> int:
        return len(self.rows) + len(self.counts) + len(self.positions)


@dataclass(frozen=True, slots=True)
class Flat:
    """Postings of many terms in arrays: (term, row) pairs with their counts, and their positions end to end."""

    terms: Numbers
    rows: Numbers
    counts: Numbers
    positions: Numbers


@dataclass(frozen=True, slots=True)
class Source:
    """A segment to merge: its postings in the order of terms, and each row's new offset, -1 for rows to drop."""

    postings: Iterator[TermPostings]
    offsets: Numbers


def invert(chunks: Sequence[Sequence[str]]) -> tuple[Numbers, Iterator[TermPostings]]:
    """The number of terms of each chunk, and the postings of every term, in the order of terms."""
    vocabulary: dict[str, int] = {}
    lengths = np.fromiter(map(len, chunks), np.int64, len(chunks))
    total = int(lengths.sum())
    ids = np.fromiter((vocabulary.setdefault(t, len(vocabulary)) for chunk in chunks for t in chunk), np.int64, total)
    terms = sorted(vocabulary)
    rank = np.empty(len(terms), np.int64)
    rank[[vocabulary[term] for term in terms]] = np.arange(len(terms))
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    order = np.argsort(rank[ids], kind="stable")  # stable: within a term by row, within a row by position
    ordered, rows = rank[ids][order], rows[order]
    first = np.flatnonzero(np.diff(ordered * len(lengths) + rows, prepend=-1))  # of each (term, row)
    flat = Flat(ordered[first], rows[first], np.diff(first, append=total), positions[order])
    return lengths, _cut(terms, flat, counts=_width(flat.counts), positions=_width(flat.positions))


def merged(
    sources: Sequence[Source], *, batch_bytes: int = BATCH_BYTES, long_bytes: int = LONG_BYTES
) -> Iterator[TermPostings]:
    """The postings of several segments as one, in the order of terms.

    New offsets ascend within a segment and from segment to segment. Memory is bounded by `batch_bytes` of stored
    postings, some fifteen times as much once unpacked, and by a few times the longest stored postings of one term.
    """
    waiting = [_Waiting(source.postings, batch_bytes // len(sources)) for source in sources]
    offsets = [source.offsets for source in sources]
    widths = [_stored_widths(each.some[0]) for each in waiting if each.some]
    counts, positions = max((c for c, _ in widths), default=1), max((p for _, p in widths), default=1)
    while any(each.some for each in waiting):
        # Up to this term no segment has anything to come.
        last = min((each.some[-1].term for each in waiting if each.more), default=None)
        for long, terms in _stretches([each.upto(last) for each in waiting], long_bytes):
            parts = [each.take(terms[-1]) for each in waiting]
            if long:
                yield from _strung(parts, offsets, counts=counts, positions=positions)
            else:
                yield from _cut(*_joined(parts, offsets), counts=counts, positions=positions)


class _Waiting:
    """The next postings of one segment: `some` of them, and whether there may be `more`."""

    def __init__(self, postings: Iterator[TermPostings], batch_bytes: int) -> None:
        self.postings = postings
        self.batch_bytes = batch_bytes
        self.some: list[TermPostings] = []
        self.more = True
        self._fill()

    def upto(self, last: str | None) -> list[TermPostings]:
        """The postings of the terms up to `last`; all for ``None``."""
        return self.some if last is None else self.some[: bisect_right(self.some, last, key=attrgetter("term"))]

    def take(self, last: str) -> list[TermPostings]:
        """Those up to `last`, which others take the place of."""
        taken = self.upto(last)
        self.some = self.some[len(taken) :]
        self._fill()
        return taken

    def _fill(self) -> None:
        size = sum(one.bytes for one in self.some)
        while self.more and size < max(1, self.batch_bytes):
            one = next(self.postings, None)
            if one is None:
                self.more = False
            else:
                self.some.append(one)
                size += one.bytes


def _stretches(parts: Sequence[Sequence[TermPostings]], long_bytes: int) -> Iterator[tuple[bool, list[str]]]:
    """All terms in order, in stretches to merge together: a term of long postings stands alone, and is marked true."""
    sizes = dict[str, int]()
    for part in parts:
        for one in part:
            sizes[one.term] = sizes.get(one.term, 0) + one.bytes
    for long, run in groupby(sorted(sizes), key=lambda term: sizes[term] >= long_bytes):
        terms = list(run)
        yield from ((long, some) for some in ([[term] for term in terms] if long else [terms]))


def _strung(
    parts: Sequence[Sequence[TermPostings]], offsets: Sequence[Numbers], *, counts: int, positions: int
) -> Iterator[TermPostings]:
    """The same one term of all segments, end to end and never unpacked to more than eight bytes a row; none if dead."""
    term, all_rows, all_counts, all_positions = "", b"", b"", b""
    for one, new in ((one, new) for part, new in zip(parts, offsets, strict=True) for one in part):
        count_width, position_width = _stored_widths(one)
        rows = new[np.frombuffer(one.rows, "<u4")]
        often = np.frombuffer(one.counts, f"<u{count_width}")
        places = np.frombuffer(one.positions, f"<u{position_width}")
        kept = rows >= 0
        if not kept.all():
            rows, often, places = rows[kept], often[kept], places[np.repeat(kept, often)]
        term = one.term
        all_rows += rows.astype("<u4").tobytes()
        all_counts += often.astype(f"<u{counts}").tobytes()
        all_positions += places.astype(f"<u{positions}").tobytes()
    if all_rows:
        yield TermPostings(term, all_rows, all_counts, all_positions)


def _joined(parts: Sequence[Sequence[TermPostings]], offsets: Sequence[Numbers]) -> tuple[list[str], Flat]:
    """The same terms of all segments, each with its live rows."""
    terms = sorted({one.term for part in parts for one in part})
    rank = {term: at for at, term in enumerate(terms)}
    flats = [_flat(part, rank, new) for part, new in zip(parts, offsets, strict=True) if part]
    together = Flat(*(np.concatenate([getattr(flat, name) for flat in flats]) for name in Flat.__slots__))
    order = np.argsort(together.terms, kind="stable")  # stable: within a term by segment, which is by row
    by_position = np.argsort(np.repeat(together.terms, together.counts), kind="stable")
    flat = Flat(together.terms[order], together.rows[order], together.counts[order], together.positions[by_position])
    kept = flat.rows >= 0
    positions = flat.positions[np.repeat(kept, flat.counts)]
    return terms, Flat(flat.terms[kept], flat.rows[kept], flat.counts[kept], positions)


def _flat(part: Sequence[TermPostings], rank: dict[str, int], offsets: Numbers) -> Flat:
    counts_width, positions_width = _stored_widths(part[0])
    sizes = [len(one.rows) // 4 for one in part]
    counts = np.frombuffer(b"".join([one.counts for one in part]), f"<u{counts_width}").astype(np.int64)
    positions = np.frombuffer(b"".join([one.positions for one in part]), f"<u{positions_width}")
    return Flat(
        terms=np.repeat([rank[one.term] for one in part], sizes),
        rows=offsets[np.frombuffer(b"".join([one.rows for one in part]), "<u4")],
        counts=counts,
        positions=positions.astype(np.int64),
    )


def _stored_widths(one: TermPostings) -> tuple[int, int]:
    """Bytes of a count and of a position in the segment that `one` is of."""
    rows = len(one.rows) // 4
    width = len(one.counts) // rows
    return width, len(one.positions) // int(np.frombuffer(one.counts, f"<u{width}").sum())


def _width(numbers: Numbers) -> int:
    """The fewest bytes that hold the largest of some non-negative numbers."""
    return next(size for size in (1, 2, 4, 8) if int(numbers.max(initial=0)) < 1 << 8 * size)


def _cut(terms: Sequence[str], flat: Flat, *, counts: int, positions: int) -> Iterator[TermPostings]:
    """Each term's share of the arrays, as bytes; terms without any are left out."""
    starts = np.searchsorted(flat.terms, np.arange(len(terms) + 1))
    places = np.concatenate(([0], np.cumsum(flat.counts)))[starts].tolist()
    all_rows = flat.rows.astype("<u4").tobytes()
    all_counts = flat.counts.astype(f"<u{counts}").tobytes()
    all_positions = flat.positions.astype(f"<u{positions}").tobytes()
    start, place = 0, 0
    for term, end, place_end in zip(terms, starts[1:].tolist(), places[1:], strict=True):
        if end > start:
            yield TermPostings(
                term,
                all_rows[4 * start : 4 * end],
                all_counts[counts * start : counts * end],
                all_positions[positions * place : positions * place_end],
            )
        start, place = end, place_end
