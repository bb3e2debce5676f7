"""MUVERA encodings by hand, and what holds for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.index.muvera import FixedDimensionalEncoding
from rag.models.token_encoder import maxsim

Floats = NDArray[np.float32]


def tokens(count: int, width: int, seed: int) -> Floats:
    made = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def test_one_bucket_sums_the_query_and_averages_the_document() -> None:
    encoding = FixedDimensionalEncoding(2, repetitions=1, planes=0, inner=None)
    query = encoding.query(np.array([[1, 0], [0, 1]], np.float32))
    document = encoding.document(np.array([[0.6, 0.8], [1, 0]], np.float32))
    assert query.tolist() == [1, 1]
    assert document == pytest.approx([0.8, 0.4])
    assert float(query @ document) == pytest.approx(1.2)  # MaxSim is 1.8


def test_buckets_are_the_sides_of_the_planes_and_empty_ones_take_the_nearest_token() -> None:
    encoding = FixedDimensionalEncoding(2, repetitions=1, planes=2, inner=None)
    # Planes of our own: bit 0 is x > 0, bit 1 is y > 0. So (x, y) falls into 0 (-, -), 1 (+, -), 2 (-, +) or 3 (+, +).
    encoding.__dict__["_normals"] = np.array([[[1, 0], [0, 1]]], np.float32)
    both, right = np.array([0.6, 0.8], np.float32), np.array([0.8, -0.6], np.float32)
    document = encoding.document(np.stack([both, right, both])).reshape(4, 2)
    assert document[3] == pytest.approx(both)  # the mean of two equal tokens
    assert document[1] == pytest.approx(right)
    assert document[2] == pytest.approx(both)  # empty: one plane from bucket 3, two from bucket 1
    assert document[0] == pytest.approx(right)  # empty: one plane from bucket 1, two from bucket 3
    query = encoding.query(np.stack([both, right, both])).reshape(4, 2)
    assert query[3] == pytest.approx(2 * both)
    assert query[[0, 2]].tolist() == [[0, 0], [0, 0]]  # a question's empty buckets stay empty


def test_of_two_tokens_as_near_to_an_empty_bucket_the_first_fills_it() -> None:
    encoding = FixedDimensionalEncoding(2, repetitions=1, planes=2, inner=None)
    encoding.__dict__["_normals"] = np.array([[[1, 0], [0, 1]]], np.float32)
    left, right = np.array([-0.6, 0.8], np.float32), np.array([0.8, -0.6], np.float32)  # buckets 2 and 1
    assert encoding.document(np.stack([left, right])).reshape(4, 2)[0] == pytest.approx(left)
    assert encoding.document(np.stack([right, left])).reshape(4, 2)[0] == pytest.approx(right)


@settings(deadline=None, max_examples=30)
@given(planes=st.integers(0, 4), repetitions=st.integers(1, 5), seed=st.integers(0, 1000))
def test_equal_single_tokens_score_their_product_once_a_repetition(planes: int, repetitions: int, seed: int) -> None:
    encoding = FixedDimensionalEncoding(8, repetitions=repetitions, planes=planes, inner=None, seed=seed)
    one = tokens(1, 8, seed)
    assert float(encoding.query(one) @ encoding.document(one)) == pytest.approx(repetitions, rel=1e-4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), count=st.integers(1, 20))
def test_without_projections_no_document_scores_above_maxsim(seed: int, count: int) -> None:
    # A mean, or a token of the document, is never nearer to a question's token than the nearest token.
    encoding = FixedDimensionalEncoding(8, repetitions=4, planes=3, inner=None, seed=seed)
    query, document = tokens(5, 8, seed + 1), tokens(count, 8, seed + 2)
    assert float(encoding.query(query) @ encoding.document(document)) / 4 <= maxsim(query, [document])[0] + 1e-4


@pytest.mark.parametrize("options", [{"inner": 16}, {"inner": 16, "dimension": 2048}, {"inner": None}])
def test_encodings_find_the_document_that_maxsim_puts_first(options: dict[str, int | None]) -> None:
    encoding = FixedDimensionalEncoding(32, **options)  # type: ignore[arg-type]  # pytest's values are of any type
    documents = [tokens(12, 32, seed) for seed in range(60)]
    encoded = np.stack([encoding.document(document) for document in documents])
    for wanted in range(0, 60, 7):
        query = documents[wanted][:5] + 0.05 * tokens(5, 32, 999 + wanted)
        assert int(maxsim(query, documents).argmax()) == wanted
        assert int((encoded @ encoding.query(query)).argmax()) == wanted


def test_projections_keep_inner_products_on_average() -> None:
    one, other = tokens(1, 32, 1), tokens(1, 32, 2)
    one, other = one, (one + 0.5 * other) / np.linalg.norm(one + 0.5 * other)
    products = []
    for seed in range(300):
        encoding = FixedDimensionalEncoding(32, repetitions=1, planes=0, inner=8, dimension=6, seed=seed)
        products.append(float(encoding.query(one) @ encoding.document(other)))
    error = np.std(products) / np.sqrt(len(products))
    assert abs(np.mean(products) - float(one[0] @ other[0])) < 4 * error


def test_the_random_numbers_are_those_of_every_version_of_numpy() -> None:
    # Encodings are kept in files: another stream of numbers would make them noise. RandomState's is frozen (NEP 19).
    encoding = FixedDimensionalEncoding(3, repetitions=1, planes=1, inner=2, dimension=4, seed=1)
    normals = np.random.RandomState([1, 0]).standard_normal((1, 3, 1)).astype(np.float32)
    assert encoding._normals.tolist() == normals.tolist()
    assert encoding.query(np.eye(3, dtype=np.float32)).tolist() == encoding.query(np.eye(3, dtype=np.float32)).tolist()


def test_a_document_without_tokens_is_all_zeros() -> None:
    encoding = FixedDimensionalEncoding(4, repetitions=2, planes=2, inner=3)
    assert encoding.size == 2 * 4 * 3
    assert not encoding.document(np.empty((0, 4), np.float32)).any()
    assert not encoding.query(np.empty((0, 4), np.float32)).any()
