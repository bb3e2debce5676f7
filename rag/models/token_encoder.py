"""Encoders that give a vector for each token, and how sets of such vectors are compared (late interaction)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import TokenStates
from rag.errors import ModelError
from rag.models.hub_model import HubModel

if TYPE_CHECKING:
    import sentence_transformers

TokenVectors: TypeAlias = NDArray[np.float32]


class TokenEncoder(Protocol):
    """Maps each text to (tokens, d) float32, C order, rows of unit length. Made cheaply; weights load at first use.

    A text may have no row at all: what has no length, or is not finite, is left out.
    """

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]: ...

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]: ...


class EmbedderTokenEncoder:
    """The token states of a sentence encoder that was trained to pool them: no further weights, but a weak MaxSim.

    A text longer than the window is encoded in parts.

    Raises (at first use):
        ModelError: the embedder gives no token states.
    """

    def __init__(self, embedder: object) -> None:
        self.embedder = embedder

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        embedder = self.embedder
        if not isinstance(embedder, TokenStates):
            raise ModelError(
                f"{type(embedder).__name__} gives vectors of texts, not of tokens",
                hint="give late-interaction a `model` of its own, or embed with onnx or sentence-transformers",
            )
        parts = [_parts(embedder, text) for text in texts]
        states = iter(embedder.token_states([part for of_text in parts for part in of_text]))
        return [unit_rows(np.concatenate([next(states) for _ in of_text])) for of_text in parts]


class MultiVectorTokenEncoder(HubModel["sentence_transformers.MultiVectorEncoder"]):
    """A sentence-transformers `MultiVectorEncoder` (ColBERT and its kin). Needs the extra ``hf``.

    The model's own prompts, query expansion and skipped punctuation apply.
    """

    kind = "a multi-vector encoder"

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self._encode(texts, queries=True)

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self._encode(texts, queries=False)

    def _encode(self, texts: Sequence[str], *, queries: bool) -> list[TokenVectors]:
        if not texts:
            return []
        encoder = self._opened()
        encode = encoder.encode_query if queries else encoder.encode_document
        found = encode(list(texts), batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False)
        return [unit_rows(np.asarray(rows, np.float32)) for rows in found]

    def _load(self) -> sentence_transformers.MultiVectorEncoder:
        from sentence_transformers import MultiVectorEncoder

        encoder: sentence_transformers.MultiVectorEncoder = MultiVectorEncoder(
            self.model, revision=self.revision, device=self.device, local_files_only=not self.allow_download
        )
        return encoder


def unit_rows(states: TokenVectors) -> TokenVectors:
    """The rows scaled to unit length; those without a length, or with a value that is not finite, are left out.

    >>> unit_rows(np.array([[3, 4], [0, 0], [np.nan, 1]], np.float32)).round(6).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    lengths = np.linalg.norm(states, axis=1)
    kept = np.isfinite(lengths) & (lengths > 0)
    return np.ascontiguousarray(states[kept] / lengths[kept, None], dtype=np.float32)


def best_matches(query: TokenVectors, documents: Sequence[TokenVectors]) -> NDArray[np.float32]:
    """For each query token the largest inner product with any token of each document.

    Args:
        query: (n, d) float32, rows of unit length.
        documents: each (m, d) float32, rows of unit length.

    Returns:
        (len(documents), n) float32 in [-1, 1]; NaN for a document without tokens, which is no evidence.
    """
    matches = np.full((len(documents), len(query)), np.nan, np.float32)
    there = [at for at, document in enumerate(documents) if len(document)]
    if there and len(query):
        starts = np.cumsum([0, *(len(documents[at]) for at in there[:-1])])
        similarities = np.concatenate([documents[at] for at in there]) @ query.T  # (all document tokens, n)
        matches[there] = np.maximum.reduceat(similarities, starts, axis=0)
    return matches


def maxsim(query: TokenVectors, documents: Sequence[TokenVectors]) -> NDArray[np.float32]:
    """The sum over query tokens of the best match in each document.

    Khattab and Zaharia, arXiv 2004.12832. NaN for a document without tokens, and for all where the query has none:
    that is no evidence, not a low score. Sums grow with the query's length, so scores of two queries do not compare.

    Returns:
        (len(documents),) float32 in [-n, n].

    >>> maxsim(np.eye(2, dtype=np.float32), [np.array([[0.6, 0.8], [1, 0]], np.float32)]).round(6).tolist()
    [1.7999999523162842]
    """
    if not len(query):
        return np.full(len(documents), np.nan, np.float32)
    scores: NDArray[np.float32] = best_matches(query, documents).sum(axis=1)
    return scores


def _parts(embedder: TokenStates, text: str) -> list[str]:
    window = embedder.tokenizer.max_tokens
    offsets = embedder.tokenizer.offsets(text)
    if len(offsets) <= window:
        return [text]
    firsts = [offsets[at][0] for at in range(0, len(offsets), window)]
    return [text[start:end] for start, end in zip(firsts, [*firsts[1:], len(text)], strict=True)]
