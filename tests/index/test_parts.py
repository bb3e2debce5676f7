"""The lock, the embedding cache, the codec and compaction, each alone."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import StoreError
from rag.index import cache as embedding_cache
from rag.index.cache import EmbeddingCache
from rag.index.codec import decode, decode_layout, decode_meta, encode, encode_layout, encode_meta, encode_scalar
from rag.index.compaction import to_merge
from rag.index.database import explained
from rag.index.segments import Segment
from rag.types import Document


def test_cached_vectors_come_back_to_the_last_bit_and_outlive_the_writer(index) -> None:
    vectors = np.random.default_rng(0).standard_normal((700, 8)).astype(np.float32)
    keys = [f"key{n}" for n in range(700)]
    with index.directory.writer(None) as writer:
        writer.cache_vectors(keys, vectors)
    with index.directory.writer(None) as writer:
        found = writer.cached_vectors([*keys, "unknown"])
    np.testing.assert_array_equal(np.stack(found[:-1]), vectors)
    assert found[-1] is None


def test_the_oldest_vectors_go_first_when_the_cache_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_cache, "LEAST_BYTES", 0)
    cache, one = EmbeddingCache(tmp_path), np.ones((1, 4), np.float32)
    for key in "abcd":
        cache.put([key], one)
    cache.put(["a"], one)
    cache.trim(keep_bytes=3 * 16)
    assert [vector is not None for vector in cache.get(["a", "b", "c", "d"])] == [True, False, True, True]
    monkeypatch.setattr(embedding_cache, "LEAST_BYTES", 1000)
    cache.trim(keep_bytes=0)
    assert sum(vector is not None for vector in cache.get(["a", "c", "d"])) == 3
    cache.close()


def test_a_damaged_cache_is_made_anew_with_a_warning(index, caplog: pytest.LogCaptureFixture) -> None:
    index.put(Document(id="a", text="one"))
    (index.path / "embeddings.sqlite").write_bytes(b"damage" * 1000)
    with index.directory.writer(None) as writer:
        assert writer.cached_vectors(["key"]) == [None]
        writer.cache_vectors(["key"], np.ones((1, 4), np.float32))
        assert writer.cached_vectors(["key"])[0] is not None
    assert any("made anew" in record.message for record in caplog.records if record.levelno == logging.WARNING)


@given(st.text(st.characters()))
def test_text_with_lone_surrogates_survives_and_keeps_its_order(text: str) -> None:
    assert decode(encode(text)) == text
    assert (encode(text) < encode("m\ud800")) == (text < "m\ud800")


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()))
def test_metadata_survives_with_its_types(meta) -> None:
    found = decode_meta(encode_meta(meta))
    assert found == meta
    assert [type(value) for value in found.values()] == [type(value) for value in meta.values()]
    for value in meta.values():
        sqlite3.connect(":memory:").execute("SELECT ?, ?", encode_scalar(value)).fetchone()


def test_an_empty_layout_takes_no_room() -> None:
    assert encode_layout(Document(id="a", text="").layout) is None
    assert decode_layout(None) == Document(id="a", text="").layout


def segment(id_: int, rows: int, dead: int = 0) -> Segment:
    documents = np.ones(rows, np.int64)
    documents[:dead] = 0
    return Segment(id_, np.arange(rows), documents, None, None, 0, "")


def merging(*sizes: tuple[int, int] | int) -> list[int]:
    """The ids, from 0, of the segments that would be merged."""
    segments = [segment(at, *(size if isinstance(size, tuple) else (size,))) for at, size in enumerate(sizes)]
    return [chosen.id for chosen in to_merge(segments)]


def test_few_segments_are_left_alone() -> None:
    assert merging() == merging(5) == merging(1000, 1, 1, 1) == []


def test_small_segments_are_merged_and_large_ones_kept() -> None:
    assert merging(1000, 1, 1, 1, 1) == [1, 2, 3, 4]
    assert merging(*[4096] * 15) == list(range(15))
    assert merging(32_000, 30_000, 9000, 100, 90) == [3, 4]


def test_no_merge_makes_a_segment_of_more_rows_than_one_may_have() -> None:
    assert merging(*[4096] * 25) == list(range(16))
    assert merging(32_769, 32_769, 32_769, 32_769, 32_769) == []  # no two of them fit
    assert merging(32_768, 32_768, 32_768, 32_768, 32_768) == [0, 1]
    assert merging(*[(60_000, 20_000)] * 2) == [0]  # one rewrite after the other


def test_a_larger_segment_of_deleted_rows_is_rewritten_alone() -> None:
    assert merging((200_000, 50_000), 10, 10, 10, 10) == [0]


def test_a_segment_of_deleted_rows_is_rewritten_alone() -> None:
    assert merging((100, 21), 100_000) == [0]
    assert merging((100, 20), 100_000) == []
    assert merging((10, 10)) == [0]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=120))
def test_however_documents_come_in_few_segments_remain_and_little_is_rewritten(sizes: list[int]) -> None:
    segments: list[Segment] = []
    rewritten = 0
    for id_, size in enumerate(sizes):
        segments.append(segment(id_, size))
        chosen = to_merge(segments)
        if chosen:
            merged = sum(one.rows for one in chosen)
            rewritten += merged
            segments = [one for one in segments if one not in chosen] + [segment(1000 + id_, merged)]
        assert len(segments) <= 4
    assert rewritten <= sum(sizes) * (3 + 3 * np.log2(sum(sizes)))


def test_errors_of_sqlite_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"x\.sqlite: no such table"), explained(tmp_path / "x.sqlite"):
        sqlite3.connect(":memory:").execute("SELECT * FROM absent")


def test_a_full_disk_is_told_by_what_to_do(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="full") as caught, explained(tmp_path / "x.sqlite"):
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert "make room" in caught.value.hint
