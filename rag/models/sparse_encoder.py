"""Encoders that weigh the terms of a vocabulary for a text (learned sparse retrieval), also terms it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import ModelError
from rag.models.hub_model import HubModel

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


class SpladeEncoder(HubModel["sentence_transformers.SparseEncoder"]):
    """A sentence-transformers `SparseEncoder` (SPLADE and its kin). Needs the extra ``hf``.

    A term's weight is ``max over positions of ln(1 + relu(logit))`` (Formal et al., arXiv 2107.05720). A model with a
    route of its own for queries, static weights without a network, needs no inference for them (Geng et al., arXiv
    2411.04403).
    """

    kind = "a learned sparse encoder"

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
        query_terms: int | None = None,
        document_terms: int | None = None,
        allow_download: bool = False,
    ) -> None:
        super().__init__(model, revision=revision, device=device, batch_size=batch_size, allow_download=allow_download)
        self.query_terms = query_terms
        self.document_terms = document_terms

    @property
    def terms(self) -> int:
        terms = self._opened().get_embedding_dimension()
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
        tokenizer = self._opened().tokenizer
        found = tokenizer(list(texts), add_special_tokens=False, truncation=True)["input_ids"]
        return [np.unique(np.array(ids, np.int32)) for ids in found]

    def _encode(self, texts: Sequence[str], *, queries: bool) -> list[WeightedTerms]:
        if not texts:
            return []
        encoder = self._opened()
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

    def _load(self) -> sentence_transformers.SparseEncoder:
        from sentence_transformers import SparseEncoder

        encoder: sentence_transformers.SparseEncoder = SparseEncoder(
            self.model, revision=self.revision, device=self.device, local_files_only=not self.allow_download
        )
        return encoder


def _weighted(row: torch.Tensor) -> WeightedTerms:
    """A sparse row as arrays; what is not above 0, or not finite, is left out."""
    row = row.coalesce()
    terms, weights = row.indices()[0].numpy().astype(np.int32), row.values().float().numpy()
    kept = np.isfinite(weights) & (weights > 0)
    return WeightedTerms(terms[kept], weights[kept])
