"""What is trained of signs that are computed anyway: one weight a sign, added to a score that needs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import EmbedderIdentity
from rag.embed.trained import read_trained, write_trained
from rag.errors import ModelError
from rag.types import Scalar

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """``score + Σ weight * sign``. Without weights, as before training, every score stays what it is."""

    weights: Mapping[str, float]

    @property
    def signs(self) -> tuple[str, ...]:
        """What it weighs, in a fixed order."""
        return tuple(self.weights)

    def scores(self, untrained: Floats, signs: Mapping[str, Floats]) -> Floats:
        """(n,) the scores with what the signs add.

        Args:
            untrained: (n,) scores.
            signs: at least those of `signs`, each (n,).

        >>> LinearHead({"words": 0.5}).scores(np.array([1.0, 2.0]), {"words": np.array([4.0, -1.0])}).tolist()
        [3.0, 1.5]
        """
        scores = untrained
        for name, weight in self.weights.items():
            scores = scores + weight * signs[name]
        return scores

    def save(self, path: Path, *, kind: str, identity: EmbedderIdentity, about: Mapping[str, Scalar]) -> None:
        """Write it for one embedder, which decides what the signs are worth.

        Raises:
            ConfigError: there is such a file already.
        """
        tensors = {name: np.array([weight], np.float32) for name, weight in self.weights.items()}
        write_trained(path, kind=kind, identity=identity, tensors=tensors, about=about)

    @staticmethod
    def load(path: Path, *, kind: str, identity: EmbedderIdentity, known: Sequence[str]) -> LinearHead:
        """Read one that was trained for this embedder.

        Args:
            known: the signs there are.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelError: it is no head of this kind, weighs a sign that is not known, or is for another embedder.
        """
        tensors = read_trained(path, kind=kind, identity=identity)
        for name, tensor in tensors.items():
            if name not in known or tensor.shape != (1,):
                expected = f"one weight for each of {', '.join(known)} at most"
                raise ModelError(f"{path}: expected {expected}, found {name!r} of shape {tensor.shape}")
        return LinearHead({name: float(tensors[name][0]) for name in known if name in tensors})


def standardised(values: Floats) -> Floats:
    """``(value - mean) / deviation`` of the finite values; 0 for others, and for all where they do not differ.

    >>> standardised(np.array([1.0, 3.0, np.nan])).tolist(), standardised(np.array([0.1, 0.1, 0.1])).tolist()
    ([-1.0, 1.0, 0.0], [0.0, 0.0, 0.0])
    """
    scaled = np.zeros(len(values))
    finite = np.isfinite(values)
    if finite.any() and values[finite].min() < values[finite].max():
        scaled[finite] = (values[finite] - values[finite].mean()) / values[finite].std()
    return scaled
