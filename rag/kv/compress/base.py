"""What a method is given and what it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Protocol

import torch
from torch import Tensor

from rag.kv.compress.kept import KeptLayer


@dataclass(frozen=True, slots=True, eq=False)
class ReadPrompt:
    """A prompt of n tokens that was read: of each layer keys and values (key heads, n, channels).

    The question begins at `question`; entries from there on always stay. `votes` (layers, heads, question) float32 is
    the attention that the question's tokens paid to each token in front, summed over them; ``None`` where the method
    did not ask for it.
    """

    ids: tuple[int, ...]
    question: int
    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    votes: Tensor | None = None

    @property
    def tail(self) -> Tensor:
        """Positions of the question."""
        return torch.arange(self.question, len(self.ids))

    @property
    def entries(self) -> int:
        """Over all layers and key heads."""
        return sum(keys.shape[0] * keys.shape[1] for keys in self.keys)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(part.numel() * part.element_size() for part in (*self.keys, *self.values))


class CacheCompressor(Protocol):
    """Immutable; one serves all requests."""

    @property
    def name(self) -> str: ...

    @property
    def votes(self) -> bool:
        """Whether the attention of the question is needed, which is then read a second time, to be looked at."""
        ...

    @property
    def minimum(self) -> int:
        """Prompts with up to so many tokens stay whole."""
        ...

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        """The layers of the smaller cache."""
        ...


def budget(prompt: ReadPrompt, keep: float, minimum: int) -> int:
    """How many entries of those in front of the question stay, for a head: so that `keep` of all stay, the question's
    among them, but no fewer than `minimum` of all (CRITIC, arXiv 2504.01281, app. A)."""
    wanted = max(minimum, floor(keep * len(prompt.ids)))
    return max(0, min(prompt.question, wanted - len(prompt.tail)))


def highest(scores: Tensor, count: int) -> Tensor:
    """The indices of the `count` highest along the last dimension, ascending; of equal ones the earlier.

    >>> highest(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 2).tolist()
    [[1, 2]]
    """
    return torch.argsort(scores, dim=-1, descending=True, stable=True)[..., :count].sort(-1).values
