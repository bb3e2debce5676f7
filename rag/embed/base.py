"""What embeds text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.types import Scalar

Vectors: TypeAlias = NDArray[np.float32]
Range: TypeAlias = tuple[int, int]

PROBED = 32
"""Texts that show whether queries of one encoder fit documents of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderIdentity:
    """What makes two vectors comparable; written into the index and enforced when it is opened."""

    model: str
    revision: str
    dimension: int
    pooling: str = "mean"
    normalized: bool = True
    precision: str = "fp32"
    query_prompt: str = ""
    document_prompt: str = ""

    def as_dict(self) -> dict[str, Scalar]:
        return asdict(self)


class Tokenizer(Protocol):
    """The encoder's own tokenizer."""

    @property
    def max_tokens(self) -> int:
        """How many tokens of text fit the window, special tokens and document prompt already taken off."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """The code-point range of each token of `text`, in order, without special tokens, never truncated."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without special tokens, never truncated."""
        ...


class Embedder(Protocol):
    """Maps texts to unit vectors. Made cheaply: weights are loaded at the first call that needs them."""

    @property
    def identity(self) -> EmbedderIdentity: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """(n, d) float32, C order, unit length, in the order of `texts`. Batches by length inside."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """(n, d) float32, C order, unit length, with the query prompt where the model has one."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class TokenStates(Protocol):
    """An embedder that also gives what it pools: one state for each token, not scaled."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        """(tokens, d) float32 of each text, no prompt before it: row i is token i of ``tokenizer.offsets(text)``.

        Raises:
            ModelError: a text is longer than the model's window.
        """
        ...


@runtime_checkable
class InDocument(Protocol):
    """An embedder whose vector of a chunk depends on the whole document that the chunk is from."""

    def embed_chunks(self, documents: Sequence[tuple[str, Sequence[Range]]]) -> Vectors:
        """(n, d) float32, C order, unit length: the chunks of all documents, in the order given.

        Args:
            documents: the text of each and its chunks as ranges ``[start, end)`` of code points.
        """
        ...


@runtime_checkable
class Probed(Protocol):
    """An embedder whose queries come from elsewhere than its documents: it has to be shown that they fit."""

    def require_alignment(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Hold texts of an index against the vectors they have there.

        Raises:
            ModelError: queries would not be near what they ask for; gives the figure.
        """
        ...
