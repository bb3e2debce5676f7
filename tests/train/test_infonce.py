from __future__ import annotations

from math import e, log

import numpy as np
import pytest

from rag.embed.adapter import Adapter
from rag.train.infonce import Adam, Batch, gradients, loss


def unit(rows: int, dimension: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def untrained(dimension: int) -> Adapter:
    return Adapter(np.zeros((dimension, 1), np.float32), np.ones((dimension, 1), np.float32))


def test_the_loss_is_that_of_the_softmax_over_allowed_chunks() -> None:
    questions, chunks = np.array([[1, 0]], np.float32), np.array([[1, 0], [0, 1], [0, -1]], np.float32)
    every = Batch(questions, chunks, np.array([0]), np.array([[True, True, True]]))
    assert loss(untrained(2), every, 1.0) == pytest.approx(log((e + 1 + 1) / e))
    assert loss(untrained(2), every, 0.5) == pytest.approx(log((e**2 + 1 + 1) / e**2))
    fewer = Batch(questions, chunks, np.array([0]), np.array([[True, False, True]]))
    assert loss(untrained(2), fewer, 1.0) == pytest.approx(log((e + 1) / e))


def test_gradients_are_the_slopes_of_the_loss() -> None:
    random = np.random.default_rng(1)
    adapter = Adapter(*(0.3 * random.standard_normal((2, 6, 2))).astype(np.float32))
    allowed = random.random((4, 7)) < 0.8
    allowed[np.arange(4), [0, 2, 2, 5]] = True
    batch = Batch(unit(4, 6, 2), unit(7, 6, 3), np.array([0, 2, 2, 5]), allowed)
    by_u, by_v = gradients(adapter, batch, 0.2)
    step = 0.01
    for at in np.ndindex(6, 2):
        for name, slopes in (("u", by_u), ("v", by_v)):
            ends = []
            for sign in (-1, 1):
                moved = {"u": adapter.u.copy(), "v": adapter.v.copy()}
                moved[name][at] += sign * step
                ends.append(loss(Adapter(**moved), batch, 0.2))
            assert slopes[at] == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=2e-3)


def test_the_first_step_of_adam_is_the_learning_rate_against_each_slope() -> None:
    u, v = np.array([[1.0, 1.0]], np.float32), np.array([[0.0]], np.float32)
    moved, still = Adam(0.1, 0.0).step((u, v), (np.array([[5.0, -0.01]], np.float32), np.array([[0.0]], np.float32)))
    assert moved[0].tolist() == pytest.approx([0.9, 1.1], abs=1e-4)
    assert still.tolist() == [[0]]


def test_weight_decay_shrinks_what_has_no_slope() -> None:
    nothing = np.zeros((1, 1), np.float32)
    (moved, _) = Adam(0.1, 0.5).step((np.array([[2.0]], np.float32), nothing), (nothing, nothing))
    assert moved.tolist() == [[pytest.approx(2 * (1 - 0.05))]]
