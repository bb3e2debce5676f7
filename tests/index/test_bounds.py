"""A search by bounds gives what a full scan gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.index import bounds
from rag.index.bounds import Bounds
from rag.index.exact import ExactIndex
from rag.index.segments import SegmentedVectors


def segmented(vectors: np.ndarray, live: np.ndarray, *, cut: int) -> SegmentedVectors:
    parts = [vectors[:cut], vectors[cut:]]
    return SegmentedVectors(Path("none"), "key", vectors.shape[1], parts, np.arange(len(vectors)), live)


def made(seed: int, rows: int, dimension: int, *, distinct: int, clustered: bool) -> np.ndarray:
    """Vectors of any length; as few as `distinct` different ones, so that scores tie."""
    rng = np.random.default_rng(seed)
    some = rng.standard_normal((distinct, dimension)).astype(np.float32)
    if clustered:
        some = some[:1] + 1e-3 * some
    return some[rng.integers(0, distinct, rows)] * rng.choice([1e-3, 1.0, 1.0, 30.0], (rows, 1)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1 << 30),
    rows=st.integers(1, 400),
    dimension=st.sampled_from([1, 3, 32, 384]),
    distinct=st.sampled_from([1, 5, 400]),
    clustered=st.booleans(),
    k=st.integers(1, 60),
    dead=st.sampled_from([0.0, 0.3]),
)
def test_bounds_leave_the_hits_of_a_full_scan(
    seed: int, rows: int, dimension: int, distinct: int, clustered: bool, k: int, dead: float
) -> None:
    rng = np.random.default_rng(seed)
    live = rng.random(rows) >= dead
    live[0] = True
    vectors = segmented(made(seed, rows, dimension, distinct=distinct, clustered=clustered), live, cut=rows // 3)
    queries = np.concatenate(
        [rng.standard_normal((3, dimension)), vectors.take(np.array([0])), np.zeros((1, dimension))]
    )
    full, bounded = ExactIndex(vectors), ExactIndex(vectors)
    bounded._bounds = Bounds(vectors)
    longest = float(np.linalg.norm(vectors.take(np.arange(rows)), axis=1).max())
    for query, one, other in zip(
        queries,
        full.search(queries.astype(np.float32), k=k, allowed=None),
        bounded.search(queries.astype(np.float32), k=k, allowed=None),
        strict=True,
    ):
        assert other.rows.tolist() == one.rows.tolist()
        assert other.scores.tolist() == one.scores.tolist()
        assert other.size == one.size
        rounding = 1e-5 * longest * float(np.linalg.norm(query))
        assert other.mean == pytest.approx(one.mean, abs=rounding)
        assert other.deviation == pytest.approx(one.deviation, abs=rounding)
        assert other.score(np.array([0, -1])).tolist() == pytest.approx([one.score(np.array([0]))[0], other.mean])


def test_bounds_of_several_blocks_leave_few_rows_to_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BLOCK", 1000)
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((2500, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    left = Bounds(segmented(vectors, np.ones(2500, np.bool_), cut=900)).among(vectors[7], k=10)
    assert left is not None
    assert 7 in left
    assert len(left) < 80


def test_rows_that_codes_cannot_tell_apart_are_left_to_a_full_scan() -> None:
    rng = np.random.default_rng(4)
    near = 1 + 1e-4 * rng.standard_normal((500, 8)).astype(np.float32)
    vectors = segmented(near, np.ones(500, np.bool_), cut=100)
    assert Bounds(vectors).among(near[0], k=3) is None
    index = ExactIndex(vectors)
    index._bounds = Bounds(vectors)
    (hits,) = index.search(near[:1], k=3, allowed=None)
    assert hits.rows.tolist() == np.argsort(-np.vecdot(near, near[0]), kind="stable")[:3].tolist()


# Sums of up to 1,040 products are exact in single precision.
DIMENSIONS = [1, 31, 64, 65, 384, 1040, 1041, pytest.param(4096, marks=pytest.mark.slow)]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_products_of_codes_are_exact_at_their_largest(dimension: int) -> None:
    vectors = np.ones((9, dimension), np.float32)
    vectors[1:4] *= -1
    found = Bounds(segmented(vectors, np.ones(9, np.bool_), cut=4))._products(np.full(dimension, -127, np.float32))
    largest = dimension * 127 * 127
    assert found.tolist() == [-largest, *[largest] * 3, *[-largest] * 5]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_products_of_codes_are_those_of_whole_numbers(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    codes = rng.integers(-127, 128, (51, dimension))
    codes[0, 0] = 127  # the largest number stays what it is, and so does every other
    found = Bounds(segmented(codes.astype(np.float32), np.ones(51, np.bool_), cut=20))._products(
        codes[7].astype(np.float32)
    )
    assert found.tolist() == (codes @ codes[7]).tolist()


def test_vectors_that_are_not_numbers_are_never_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.index.exact.WARMED", 1)
    vectors = np.eye(8, dtype=np.float32)
    vectors[3, 3] = np.nan
    index = ExactIndex(segmented(vectors, np.ones(8, np.bool_), cut=4))
    index.warm_up()
    assert index._bounds is None


def test_what_a_query_may_not_see_is_left_out_after_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.index.exact.WARMED", 1)
    vectors = np.eye(8, dtype=np.float32)
    index = ExactIndex(segmented(vectors, np.ones(8, np.bool_), cut=4))
    index.warm_up()
    allowed = np.arange(8) % 2 == 1
    (hits,) = index.search(vectors[:1], k=8, allowed=allowed)
    assert hits.rows.tolist() == [1, 3, 5, 7]
    assert hits.size == 4
    (everything,) = index.search(vectors[:1], k=1, allowed=None)
    assert everything.rows.tolist() == [0]
