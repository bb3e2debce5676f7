"""Postings are the same however they are merged, and merging needs little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.index.inverted import Source, TermPostings, invert, merged

CHUNKS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), min_size=1, max_size=8)


def source(chunks: list[list[str]], base: int) -> Source:
    return Source(invert(chunks)[1], np.arange(base, base + len(chunks)))


def plain(postings: list[TermPostings]) -> list[tuple[str, bytes, list[int], int]]:
    """Widths of counts and positions may differ; terms, rows and counts may not."""
    return [
        (one.term, one.rows, list(np.frombuffer(one.counts, f"<u{4 * len(one.counts) // len(one.rows)}")), 0)
        for one in postings
    ]


@given(st.lists(CHUNKS, min_size=1, max_size=4), st.sampled_from([1, 40, 1 << 20]), st.sampled_from([1, 30, 1 << 20]))
def test_merging_segments_gives_the_postings_of_all_chunks_at_once(
    parts: list[list[list[str]]], size: int, long: int
) -> None:
    bases = np.cumsum([0, *map(len, parts)])
    sources = [source(part, int(base)) for part, base in zip(parts, bases, strict=False)]
    found = list(merged(sources, batch_bytes=size, long_bytes=long))
    together = list(invert([chunk for part in parts for chunk in part])[1])
    assert plain(found) == plain(together)
    assert [one.positions for one in found if len(one.positions) < 3] == [
        one.positions for one in together if len(one.positions) < 3
    ]


def test_merging_takes_memory_for_a_batch_and_not_for_everything() -> None:
    rng = np.random.default_rng(0)
    parts = [[[f"term{n}" for n in rng.integers(0, 20_000, 80)] for _ in range(1500)] for _ in range(3)]
    stored = [list(invert(part)[1]) for part in parts]
    sources = [Source(iter(one), np.arange(1500) + 1500 * at) for at, one in enumerate(stored)]
    peaks = []
    for size in (1 << 15, 1 << 22):
        tracemalloc.start()
        for _ in merged(
            [Source(iter(one), s.offsets) for one, s in zip(stored, sources, strict=True)], batch_bytes=size
        ):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 5


@given(st.lists(CHUNKS, min_size=1, max_size=4), st.sets(st.integers(0, 31)), st.sampled_from([1, 30, 1 << 20]))
def test_merging_drops_deleted_rows_however_long_a_term_is(
    parts: list[list[list[str]]], deleted: set[int], long: int
) -> None:
    numbered = np.arange(sum(map(len, parts)))
    live = ~np.isin(numbered, list(deleted))
    new = np.where(live, np.cumsum(live) - 1, -1)
    bases = np.cumsum([0, *map(len, parts)]).tolist()
    found = list(
        merged(
            [Source(invert(part)[1], new[base : base + len(part)]) for part, base in zip(parts, bases, strict=False)],
            long_bytes=long,
        )
    )
    kept = [chunk for chunk, alive in zip([c for part in parts for c in part], live, strict=True) if alive]
    assert plain(found) == (plain(list(invert(kept)[1])) if kept else [])


def test_merging_a_term_of_every_row_takes_a_few_times_its_stored_bytes() -> None:
    chunks = [["the"] * 20] * 20_000
    stored = [list(invert(chunks)[1]) for _ in range(2)]
    size = sum(one.bytes for part in stored for one in part)
    sources = [Source(iter(part), np.arange(20_000) + 20_000 * at) for at, part in enumerate(stored)]
    tracemalloc.start()
    (found,) = merged(sources)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.bytes == size
    assert peak < 4 * size
