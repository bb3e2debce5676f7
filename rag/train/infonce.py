"""The loss of a query adapter, its gradients by hand, and the optimiser: all that training needs of a framework."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.embed.adapter import Adapter
from rag.embed.base import Vectors
from rag.index.base import Mask


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Questions (n, d) and chunks (m, d) of unit length; `right` (n,) is each question's chunk.

    `allowed` (n, m) is false where a chunk is no wrong answer to a question either, as it is also relevant.
    """

    questions: Vectors
    chunks: Vectors
    right: NDArray[np.int64]
    allowed: Mask


def loss(adapter: Adapter, batch: Batch, temperature: float) -> float:
    """Mean over questions of ``-log softmax(cosine / temperature)`` at the right chunk, over the allowed chunks."""
    scores = _scores(adapter.apply(batch.questions), batch, temperature)
    right = scores[np.arange(len(scores)), batch.right]
    return float(np.mean(_log_sum_exp(scores) - right))


def gradients(adapter: Adapter, batch: Batch, temperature: float) -> tuple[Vectors, Vectors]:
    """Those of `loss` by ``U`` and ``V``.

    With ``c = q + U Vᵀ q`` and ``a = c / |c|``: the gradient by ``a`` is ``(p - y) D / t``, by ``c`` its part across
    ``a`` over ``|c|``; that is ``g``, and then by ``U`` it is ``gᵀ (q V)`` and by ``V`` ``qᵀ (g U)``, summed over
    questions.
    """
    questions = batch.questions
    inner = questions @ adapter.v  # (n, rank)
    changed = questions + inner @ adapter.u.T
    lengths = np.linalg.norm(changed, axis=1, keepdims=True)
    adapted = changed / lengths
    scores = _scores(adapted, batch, temperature)
    errors = np.exp(scores - _log_sum_exp(scores)[:, np.newaxis])
    errors[np.arange(len(errors)), batch.right] -= 1
    by_adapted = errors @ batch.chunks / (temperature * len(questions))
    across = by_adapted - np.vecdot(by_adapted, adapted)[:, np.newaxis] * adapted
    by_changed = across / lengths
    return by_changed.T @ inner, questions.T @ (by_changed @ adapter.u)


class Adam:
    """Adam with decoupled weight decay. Kingma and Ba, arXiv 1412.6980; Loshchilov and Hutter, arXiv 1711.05101."""

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.steps = 0
        self._means: tuple[Vectors, ...] = ()
        self._squares: tuple[Vectors, ...] = ()

    def step(self, weights: tuple[Vectors, Vectors], slopes: tuple[Vectors, Vectors]) -> tuple[Vectors, Vectors]:
        """The weights one step further down."""
        self.steps += 1
        if self.steps == 1:
            self._means = self._squares = tuple(np.zeros_like(weight) for weight in weights)
        self._means = tuple(0.9 * mean + 0.1 * slope for mean, slope in zip(self._means, slopes, strict=True))
        self._squares = tuple(
            0.999 * square + 0.001 * slope**2 for square, slope in zip(self._squares, slopes, strict=True)
        )
        rate = self.learning_rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        moved = [
            (weight * (1 - self.learning_rate * self.weight_decay) - rate * mean / (np.sqrt(square) + 1e-8)).astype(
                np.float32
            )
            for weight, mean, square in zip(weights, self._means, self._squares, strict=True)
        ]
        return moved[0], moved[1]


def _scores(adapted: Vectors, batch: Batch, temperature: float) -> Vectors:
    scores: Vectors = (adapted @ batch.chunks.T) / np.float32(temperature)
    scores[~batch.allowed] = -np.inf
    return scores


def _log_sum_exp(scores: Vectors) -> Vectors:
    highest = scores.max(axis=1)
    total: Vectors = highest + np.log(np.exp(scores - highest[:, np.newaxis]).sum(axis=1))
    return total
