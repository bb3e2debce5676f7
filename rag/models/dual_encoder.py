"""Encoders that give one vector a text, compared by inner product as they are: Contriever and its kin."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.errors import MissingExtraError, ModelNotFoundError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TextVectors: TypeAlias = NDArray[np.float32]


class DualEncoder(Protocol):
    """Maps questions and sentences to vectors whose inner product says how well they go together."""

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """(n, d) float32, in the order of `texts`, of any length."""
        ...


class MeanPooledEncoder:
    """The mean of a transformer's last states over a text's tokens, not normalised (Contriever, arXiv 2112.09118).

    Run by torch, loaded at first use; needs the extra ``hf``. Code from the model's repository is never run. A text
    longer than the window is cut at its end.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
        allow_download: bool = False,
    ) -> None:
        self.model = model
        self.revision = revision
        self.device = device
        self.batch_size = batch_size
        self.allow_download = allow_download
        self._lock = threading.Lock()
        self._loaded: tuple[PreTrainedTokenizerBase, PreTrainedModel] | None = None

    def encode(self, texts: Sequence[str]) -> TextVectors:
        """As the protocol says.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            ModelNotFoundError: there are no such weights.
        """
        import torch

        tokenizer, model = self._open()
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

    def close(self) -> None:
        with self._lock:
            self._loaded = None

    def _open(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtraError(error.name or "transformers", extra="hf", needed_for="a dual encoder") from error
        where = {"revision": self.revision or "main", "local_files_only": not self.allow_download}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, **where)
            model = AutoModel.from_pretrained(self.model, **where)
        except (OSError, ValueError) as error:  # not in the cache, no such repository, no network; a foreign folder
            raise ModelNotFoundError(
                f"cannot load {self.model!r}: {error}", hint="set allow_download: true, or give a folder"
            ) from error
        return tokenizer, model.to(self.device or "cpu").eval()
