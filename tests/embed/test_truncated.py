from __future__ import annotations

import numpy as np
import pytest

from rag.embed.hash import HashEmbedder
from rag.embed.specs import OnnxSpec
from rag.embed.truncated import TruncatedEmbedder, truncated
from rag.errors import ConfigError


def test_the_first_dimensions_are_scaled_to_unit_length() -> None:
    # 3 and 4 of [3, 4, 12] / 13 have length 5 / 13.
    vectors = np.array([[3, 4, 12]], np.float32) / 13
    assert truncated(vectors, 2)[0].tolist() == pytest.approx([0.6, 0.8])
    assert vectors[0].tolist() == pytest.approx([3 / 13, 4 / 13, 12 / 13])  # what it was given stays


def test_a_vector_without_length_in_the_first_dimensions_is_still_of_unit_length() -> None:
    assert truncated(np.array([[0, 0, 1]], np.float32), 2).tolist() == [[1, 0]]


def test_the_identity_has_the_dimension_that_is_kept() -> None:
    whole = HashEmbedder(dimension=64)
    embedder = TruncatedEmbedder(whole, dimension=16)
    assert (embedder.identity.dimension, embedder.identity.model) == (16, "hash")
    for made, full in [
        (embedder.embed_documents(["a dog", "a cat"]), whole.embed_documents(["a dog", "a cat"])),
        (embedder.embed_queries(["a dog"]), whole.embed_queries(["a dog"])),
    ]:
        assert made.shape == (len(full), 16)
        assert made.flags.c_contiguous
        assert np.linalg.norm(made, axis=1) == pytest.approx(1)
    assert embedder.embed_documents([]).shape == (0, 16)


def test_more_dimensions_than_the_model_has_are_an_error() -> None:
    with pytest.raises(ConfigError, match="at most 64, the dimension of hash, got 65"):
        TruncatedEmbedder(HashEmbedder(dimension=64), dimension=65).identity  # noqa: B018


def test_the_option_puts_truncation_around_the_encoder() -> None:
    assert isinstance(OnnxSpec(dimension=128).build(), TruncatedEmbedder)
    assert not isinstance(OnnxSpec().build(), TruncatedEmbedder)
