"""Any sentence-transformers model, run by torch. Needs the extra ``hf``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.embed.base import EmbedderIdentity, Tokenizer, Vectors
from rag.errors import MissingExtraError, ModelError, ModelNotFoundError

if TYPE_CHECKING:
    import sentence_transformers


class SentenceTransformersEmbedder:
    """Wraps `SentenceTransformer.encode`; code from the model's repository is never run.

    A document longer than the window is an error; of a longer query, the library reads what fits.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        allow_download: bool = False,
    ) -> None:
        self.model = model
        self.revision = revision
        self.device = device
        self.batch_size = batch_size
        self.query_prompt = query_prompt
        self.document_prompt = document_prompt
        self.allow_download = allow_download
        self._lock = threading.Lock()
        self._loaded: sentence_transformers.SentenceTransformer | None = None

    @cached_property
    def identity(self) -> EmbedderIdentity:
        encoder = self._encoder()
        dimension = encoder.get_embedding_dimension()
        if dimension is None:
            raise ModelError(f"{self.model} does not say how long its vectors are", hint="choose a model that does")
        prompts = encoder.prompts or {}
        query = prompts.get("query") or ""
        document = prompts.get("document") or prompts.get("passage") or ""
        pooling = next((str(module.pooling_mode) for module in encoder if hasattr(module, "pooling_mode")), "own")
        return EmbedderIdentity(
            model=Path(self.model).resolve().name if Path(self.model).is_dir() else self.model,
            revision=_state_hash(encoder),
            dimension=dimension,
            pooling=pooling,
            precision=str(next(encoder.parameters()).dtype).removeprefix("torch."),
            query_prompt=query if self.query_prompt is None else self.query_prompt,
            document_prompt=document if self.document_prompt is None else self.document_prompt,
        )

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return _ModelTokenizer(self._encoder(), self.identity.document_prompt)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        for at, count in enumerate(self.tokenizer.count(texts)):
            self._must_fit(at, count, texts[at])
        return self._encode(texts, self.identity.document_prompt)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts, self.identity.query_prompt)

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        for at, count in enumerate(self.tokenizer.count(texts)):
            self._must_fit(at, count, texts[at])
        encoder = self._encoder()
        found = encoder.encode(
            list(texts),
            prompt="",
            batch_size=self.batch_size,
            output_value="token_embeddings",
            convert_to_numpy=False,
            show_progress_bar=False,
        )
        states: list[Vectors] = []
        for text, rows in zip(texts, found, strict=True):
            special = encoder.tokenizer(text, return_special_tokens_mask=True, verbose=False)["special_tokens_mask"]
            kept = np.flatnonzero(np.array(special) == 0)
            states.append(np.ascontiguousarray(rows.float().cpu().numpy()[kept], dtype=np.float32))
        return states

    def close(self) -> None:
        with self._lock:
            self._loaded = None

    def _must_fit(self, at: int, count: int, text: str) -> None:
        if count > self.tokenizer.max_tokens:
            raise ModelError(
                f"text {at} has {count} tokens, {self.model} reads {self.tokenizer.max_tokens}: {text[:60]!r}",
                hint="chunk it smaller",
            )

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        encoder = self._encoder()
        if not texts:
            return np.empty((0, self.identity.dimension), np.float32)
        vectors = encoder.encode(
            list(texts),
            prompt=prompt or None,
            batch_size=self.batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def _encoder(self) -> sentence_transformers.SentenceTransformer:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> sentence_transformers.SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(
                error.name or "sentence_transformers", extra="hf", needed_for="use: sentence-transformers"
            ) from error
        try:
            return SentenceTransformer(
                self.model,
                revision=self.revision,
                device=self.device,
                local_files_only=not self.allow_download,
            )
        except OSError as error:  # the hub's library: not in the cache, no such repository, no network
            raise ModelNotFoundError(
                f"cannot load {self.model!r}: {error}", hint="set allow_download: true, or give a folder"
            ) from error


class _ModelTokenizer:
    """The model's own tokenizer, as the chunkers use it."""

    def __init__(self, encoder: sentence_transformers.SentenceTransformer, document_prompt: str) -> None:
        self.encoder = encoder
        self.document_prompt = document_prompt

    @cached_property
    def max_tokens(self) -> int:
        window = self.encoder.max_seq_length
        if window is None:
            raise ModelError("the model does not say how long a text it reads", hint="choose a model that does")
        return int(window) - len(self.encoder.tokenizer(self.document_prompt)["input_ids"])

    def offsets(self, text: str) -> list[tuple[int, int]]:
        encoding = self.encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [(int(start), int(end)) for start, end in encoding["offset_mapping"]]

    def count(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        encodings = self.encoder.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)
        return [len(ids) for ids in encodings["input_ids"]]


def _state_hash(encoder: sentence_transformers.SentenceTransformer) -> str:
    """BLAKE2b of all weights, 16 hexadecimal digits: a name on the hub does not say which weights were loaded."""
    running = blake2b(digest_size=8)
    for name, tensor in sorted(encoder.state_dict().items()):
        running.update(name.encode())
        running.update(tensor.detach().cpu().float().contiguous().numpy())  # numpy has no bfloat16
    return running.hexdigest()
