"""What a local language model offers to those who look at where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.models.llm import Message
from rag.types import Usage

Attention: TypeAlias = NDArray[np.float32]
"""(heads, tokens) of one document: how much each head attends to each of its tokens, averaged over a tail's tokens."""


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """An attention head, both numbers from 0; in grouped-query models a query head."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}-{self.head}"


@dataclass(frozen=True, slots=True)
class AttentionPrompt:
    """Several user messages that begin alike: `shared` followed by each of `tails`, behind a `system` message if any.

    `documents` and `passages` are code-point ranges of `shared`: what attention is asked of, and the texts of sources,
    as in `rag.models.llm.Message`, `access` too. The keys and values of the shared part are computed once.
    """

    shared: str
    documents: tuple[tuple[int, int], ...]
    tails: tuple[str, ...]
    system: str = ""
    passages: tuple[tuple[int, int], ...] = ()
    access: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attended:
    """For each tail the attention to each document, and what the passes cost."""

    tails: tuple[tuple[Attention, ...], ...]
    usage: Usage


@runtime_checkable
class AttendingModel(Protocol):
    """A local model that shows where it looks."""

    @property
    def window(self) -> int:
        """How many tokens a prompt may have."""
        ...

    def count(self, text: str) -> int:
        """How many tokens the text has."""
        ...

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        """The attention of each tail to each document.

        The whole message is put into the chat format and tokenised once; documents and tail are found in it by offsets.
        The tail's tokens reach from its first one through the end of the chat format. Maps are reduced layer by layer:
        whole ones would take layers x heads x tokens squared.

        Args:
            heads: the rows to give, in this order; layers behind the last one need not be run. ``None``: all heads,
                layer by layer.

        Raises:
            ModelError: the prompt is longer than the window, or a head does not exist.
        """
        ...


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Which model it is, and how many heads it has. `weights` is a digest that no other weights share."""

    model: str
    revision: str
    weights: str
    layers: int
    heads: int

    def __str__(self) -> str:
        revision = f", revision {self.revision}" if self.revision else ""
        return f"{self.model!r}{revision} (weights {self.weights[:12]}, {self.layers} layers of {self.heads} heads)"


@runtime_checkable
class DescribedModel(Protocol):
    """A local model that says which one it is."""

    @property
    def anatomy(self) -> Anatomy: ...


@dataclass(frozen=True, slots=True)
class Writing:
    """Where each head looks while the model writes, greedily.

    Attributes:
        prompt: (n,) ids.
        passages: the token ranges of the prompt's passages.
        written: (steps,) ids, without the end mark.
        text: what these say.
        looks: (steps, layers, heads) the position each head attends to most when the token is chosen; from n on it is
            in what was written before.
    """

    prompt: NDArray[np.int64]
    passages: tuple[tuple[int, int], ...]
    written: NDArray[np.int64]
    text: str
    looks: NDArray[np.int64]


@runtime_checkable
class WatchedModel(Protocol):
    """A local model that can be watched while it writes."""

    def write_watched(self, messages: Sequence[Message], *, max_tokens: int) -> Writing: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model does while it reads a text of n tokens.

    Attributes:
        offsets: (n,) the code-point range of each token; a token that only marks the start has an empty one.
        logprobs: (n,) of each token given those before it, nats; NaN for the first.
        entropies: (n,) of the distribution that each token was drawn from, nats; NaN for the first.
        attention: (layers, heads, n, n), the rows those of the attending token; the layers asked for, in their order.
    """

    offsets: tuple[tuple[int, int], ...]
    logprobs: NDArray[np.float32]
    entropies: NDArray[np.float32]
    attention: NDArray[np.float32]


@runtime_checkable
class ReadingModel(Protocol):
    """A local model that reads a text without chat format and shows token by token what it expected and attended to."""

    def read(self, text: str, *, layers: Sequence[int] = (-1,)) -> Reading:
        """Read `text` from its start.

        Args:
            layers: whose attention to give; negative ones count from the last.

        Raises:
            ModelError: the text is longer than the window, or than 2,048 tokens: maps grow with the square.
        """
        ...
