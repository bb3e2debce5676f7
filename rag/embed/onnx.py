"""Sentence encoders on the CPU by onnxruntime."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import EmbedderIdentity, Tokenizer, Vectors
from rag.embed.checkpoint import Checkpoint, weights_hash
from rag.embed.export import Precision, exported
from rag.embed.locate import locate
from rag.embed.threads import physical_cores
from rag.embed.tokenizer import FileTokenizer
from rag.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

_REMEMBERED_QUERIES = 256


@dataclass(frozen=True, slots=True)
class _Query:
    """A query's vector, and its token states where it was read in one piece and without a prompt."""

    vector: Vectors
    states: Vectors | None


class OnnxEmbedder:
    """A BERT-type encoder with mean or first-token pooling. May be used from several threads.

    Texts are batched with others of about their length, so that little is padded. A document longer than the window is
    an error: cutting it silently would leave its end unfindable. A longer query, which nobody cuts up beforehand, is
    halved until its parts fit, and its vector is the mean of theirs, scaled to unit length.
    """

    def __init__(
        self,
        model: str = "minilm",
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
        batch_tokens: int = 2048,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        allow_download: bool = False,
    ) -> None:
        self.model = model
        self.precision = precision
        self.threads = threads
        self.batch_tokens = batch_tokens
        self.query_prompt = query_prompt
        self.document_prompt = document_prompt
        self.allow_download = allow_download
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None
        self._queries: OrderedDict[str, _Query] = OrderedDict()

    @cached_property
    def identity(self) -> EmbedderIdentity:
        checkpoint = self._checkpoint
        return EmbedderIdentity(
            model=checkpoint.model,
            revision=weights_hash(checkpoint.weights)[:16],
            dimension=checkpoint.dimension,
            pooling=checkpoint.pooling,
            precision=self.precision,
            query_prompt=_chosen(self.query_prompt, checkpoint.query_prompt),
            document_prompt=_chosen(self.document_prompt, checkpoint.document_prompt),
        )

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        prompt = self.identity.document_prompt
        return self._encode(self._fitting_ids([prompt + text for text in texts] if prompt else texts))

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        """As the protocol says; of a query that was just embedded they are at hand."""
        with self._lock:
            queries = {text: self._queries[text].states for text in texts if text in self._queries}
        known = {text: states for text, states in queries.items() if states is not None}
        new = list(dict.fromkeys(text for text in texts if text not in known))
        known.update(zip(new, self._new_token_states(new), strict=True))
        return [known[text].copy() if text in queries else known[text] for text in texts]

    def _new_token_states(self, texts: Sequence[str]) -> list[Vectors]:
        ids = self._fitting_ids(texts)
        counts = self._tokenizer.count(texts)
        states: list[Vectors] = [np.empty((0, self.identity.dimension), np.float32)] * len(texts)
        for rows, (_, batch) in self._batches(ids, None):
            for row, state in zip(rows, batch, strict=True):
                states[row] = state[1 : 1 + counts[row]].copy()  # behind the first token, which is a special one
        return states

    def _fitting_ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids = self._tokenizer.ids(texts)
        window = self._checkpoint.window
        for at, found in enumerate(ids):
            if len(found) > window:
                raise ModelError(
                    f"text {at} has {len(found)} tokens, {self.identity.model} reads {window}: {texts[at][:60]!r}...",
                    hint="chunk it smaller; no chunker that ships makes a chunk larger than the encoder's window",
                )
        return ids

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            known = {text: self._queries[text] for text in texts if text in self._queries}
        new = list(dict.fromkeys(text for text in texts if text not in known))
        known.update(zip(new, self._embed_new_queries(new), strict=True))
        with self._lock:
            for text in known:
                self._queries[text] = known[text]
                self._queries.move_to_end(text)
            while len(self._queries) > _REMEMBERED_QUERIES:
                self._queries.popitem(last=False)
        vectors = np.empty((len(texts), self.identity.dimension), np.float32)
        for at, text in enumerate(texts):
            vectors[at] = known[text].vector
        return vectors

    def close(self) -> None:
        with self._lock:
            self._session = None
            self._queries.clear()

    def _embed_new_queries(self, texts: Sequence[str]) -> list[_Query]:
        parts = [self._query_parts(text) for text in texts]
        ids = [one for of_text in parts for one in of_text]
        vectors = np.empty((len(ids), self._checkpoint.dimension), np.float32)
        states: list[Vectors] = [vectors] * len(ids)
        for rows, (pooled, batch) in self._batches(ids, None):
            vectors[rows] = pooled
            for row, state in zip(rows, batch, strict=True):
                states[row] = state
        found: list[_Query] = []
        at = 0
        for of_text, tokens in zip(parts, self._tokenizer.count(texts), strict=True):
            if len(of_text) == 1:
                asked = states[at][1 : 1 + tokens].copy() if not self.identity.query_prompt else None
                found.append(_Query(vectors[at], asked))
            else:
                total = vectors[at : at + len(of_text)].sum(axis=0)
                found.append(_Query(total / np.linalg.norm(total), None))
            at += len(of_text)
        return found

    def _query_parts(self, text: str) -> list[list[int]]:
        ids = self._tokenizer.ids([self.identity.query_prompt + text])[0]
        if len(ids) <= self._checkpoint.window:
            return [ids]
        offsets = self._tokenizer.offsets(text)
        middle = offsets[len(offsets) // 2][0] if len(offsets) > 1 else 0
        if not 0 < middle < len(text):
            raise ModelError(f"the query prompt of {self.identity.model} leaves no room for the query")
        return self._query_parts(text[:middle]) + self._query_parts(text[middle:])

    def _encode(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Unit vectors (n, d) of token ids, in the order given."""
        vectors = np.empty((len(ids), self._checkpoint.dimension), np.float32)
        for rows, (pooled,) in self._batches(ids, ["vectors"]):
            vectors[rows] = pooled
        return vectors

    def _batches(
        self, ids: Sequence[Sequence[int]], outputs: Sequence[str] | None
    ) -> Iterator[tuple[list[int], Sequence[NDArray[np.float32]]]]:
        """Rows of about one length and what the graph gives for them: `outputs`, or all, vectors and states."""
        for rows in batches_by_length([len(one) for one in ids], budget=self.batch_tokens):
            tokens, mask = _padded([ids[row] for row in rows], self._checkpoint.padding_id)
            yield rows, self._loaded().run(outputs, {"ids": tokens, "mask": mask})

    def _loaded(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = self._load()
            return self._session

    def _load(self) -> onnxruntime.InferenceSession:
        import onnxruntime

        checkpoint = self._checkpoint
        graph = exported(checkpoint, weights_sha256=weights_hash(checkpoint.weights), precision=self.precision)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or physical_cores()
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return locate(self.model, allow_download=self.allow_download)

    @cached_property
    def _tokenizer(self) -> FileTokenizer:
        checkpoint = self._checkpoint
        prompt = _chosen(self.document_prompt, checkpoint.document_prompt)
        return FileTokenizer(checkpoint.tokenizer_file, window=checkpoint.window, document_prompt=prompt)


def batches_by_length(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Rows in batches of similar length, longest first: rows times the longest is at most `budget`, one row at least.

    >>> list(batches_by_length([2, 9, 3, 2], budget=8))
    [[1], [2, 0], [3]]
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _padded(ids: Sequence[Sequence[int]], padding_id: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Ids (n, longest), padded at the right, and the mask of what is not padding."""
    shape = (len(ids), max(len(one) for one in ids))
    tokens = np.full(shape, padding_id, np.int32)
    mask = np.zeros(shape, np.int32)
    for row, one in enumerate(ids):
        tokens[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return tokens, mask


def _chosen(override: str | None, default: str) -> str:
    return default if override is None else override
