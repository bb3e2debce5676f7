"""Encoders that give one vector a text, compared by inner product as they are: Contriever and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.models.hub_model import TransformersModel

TextVectors: TypeAlias = NDArray[np.float32]


class DualEncoder(Protocol):
    """Maps questions and sentences to vectors whose inner product says how well they go together."""

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """(n, d) float32, in the order of `texts`, of any length."""
        ...


class MeanPooledEncoder(TransformersModel):
    """The mean of a transformer's last states over a text's tokens, not normalised (Contriever, arXiv 2112.09118).

    Needs the extra ``hf``. A text longer than the window is cut at its end.
    """

    kind = "a dual encoder"

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """As the protocol says.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            ModelNotFoundError: there are no such weights.
        """
        tokenizer, model = self._opened()
        import torch

        vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # batches of about one length
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = tokenizer(
                [texts[at] for at in rows],
                padding=True,
                truncation=True,
                max_length=min(tokenizer.model_max_length, model.config.max_position_embeddings),
                return_tensors="pt",
            ).to(model.device)
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1)
            vectors[rows] = pooled.float().cpu().numpy()
        return vectors
