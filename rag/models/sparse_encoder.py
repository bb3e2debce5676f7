"""Encoders that weigh the terms of a vocabulary for a text (learned sparse retrieval), also terms it does not hold."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import MissingExtraError, ModelError, ModelNotFoundError

if TYPE_CHECKING:
    import sentence_transformers
    import torch


@dataclass(frozen=True, slots=True)
class WeightedTerms:
    """Terms by number, ascending, none twice: (n,) int32, and their weights, all above 0: (n,) float32."""

    terms: NDArray[np.int32]
    weights: NDArray[np.float32]


class TermEncoder(Protocol):
    """Maps each text to weighted terms. Made cheaply; weights load at first use."""

    @property
    def terms(self) -> int:
        """How many terms there are; loads the model."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> list[WeightedTerms]: ...

    def encode_documents(self, texts: Sequence[str]) -> list[WeightedTerms]: ...

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """The terms that stand in each text, ascending, none twice; no model runs for it."""
        ...


class SpladeEncoder:
    """A sentence-transformers `SparseEncoder` (SPLADE and its kin), run by torch. Needs the extra ``hf``.

    A term's weight is ``max over positions of ln(1 + relu(logit))`` (Formal et al., arXiv 2107.05720). A model with a
    route of its own for queries, static weights without a network, needs no inference for them (Geng et al., arXiv
    2411.04403). Code from the model's repository is never run.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        batch_size: int = 32,
        query_terms: int | None = None,
        document_terms: int | None = None,
        allow_download: bool = False,
    ) -> None:
        self.model = model
        self.device = device
        self.batch_size = batch_size
        self.query_terms = query_terms
        self.document_terms = document_terms
        self.allow_download = allow_download
        self._lock = threading.Lock()
        self._loaded: sentence_transformers.SparseEncoder | None = None

    @property
    def terms(self) -> int:
        terms = self._encoder().get_embedding_dimension()
        if terms is None:
            raise ModelError(f"{self.model!r} does not say how many terms it weighs", hint="it is no SparseEncoder")
        return int(terms)

    def encode_queries(self, texts: Sequence[str]) -> list[WeightedTerms]:
        return self._encode(texts, queries=True)

    def encode_documents(self, texts: Sequence[str]) -> list[WeightedTerms]:
        return self._encode(texts, queries=False)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        if not texts:
            return []
        tokenizer = self._encoder().tokenizer
        found = tokenizer(list(texts), add_special_tokens=False, truncation=True)["input_ids"]
        return [np.unique(np.array(ids, np.int32)) for ids in found]

    def close(self) -> None:
        with self._lock:
            self._loaded = None

    def _encode(self, texts: Sequence[str], *, queries: bool) -> list[WeightedTerms]:
        if not texts:
            return []
        encoder = self._encoder()
        encode = encoder.encode_query if queries else encoder.encode_document
        rows = encode(
            list(texts),
            batch_size=self.batch_size,
            max_active_dims=self.query_terms if queries else self.document_terms,
            convert_to_tensor=False,
            save_to_cpu=True,
            show_progress_bar=False,
        )
        return [_weighted(row) for row in rows]

    def _encoder(self) -> sentence_transformers.SparseEncoder:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> sentence_transformers.SparseEncoder:
        try:
            from sentence_transformers import SparseEncoder
        except ImportError as error:
            raise MissingExtraError(
                error.name or "sentence_transformers", extra="hf", needed_for="a learned sparse encoder"
            ) from error
        try:
            encoder: sentence_transformers.SparseEncoder = SparseEncoder(
                self.model, device=self.device, local_files_only=not self.allow_download
            )
        except (OSError, ValueError) as error:  # not in the cache, no such repository, no network; a foreign folder
            raise ModelNotFoundError(
                f"cannot load {self.model!r}: {error}", hint="set allow_download: true, or give a folder"
            ) from error
        return encoder


def _weighted(row: torch.Tensor) -> WeightedTerms:
    """A sparse row as arrays; what is not above 0, or not finite, is left out."""
    row = row.coalesce()
    terms, weights = row.indices()[0].numpy().astype(np.int32), row.values().float().numpy()
    kept = np.isfinite(weights) & (weights > 0)
    return WeightedTerms(terms[kept], weights[kept])
