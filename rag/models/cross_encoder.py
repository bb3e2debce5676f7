"""Models that read a query and a passage together and say how relevant the one is to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.errors import ModelError
from rag.models.hub_model import HubModel

if TYPE_CHECKING:
    import sentence_transformers
    import torch

Activation = Literal["none", "sigmoid", "model"]
PairScores: TypeAlias = NDArray[np.float32]


class PairScorer(Protocol):
    """Scores pairs of query and passage, higher is more relevant."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> PairScores:
        """(n,) float32, in the order of `pairs`. A pair that does not fit the model's window is cut at its end."""
        ...

    def room(self, query: str) -> int:
        """How many tokens of a passage fit into the window beside `query`; negative if the query alone does not."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """The code-point range of each of the model's tokens of `text`, without special tokens."""
        ...


class SentenceTransformersCrossEncoder(HubModel["sentence_transformers.CrossEncoder"]):
    """A sentence-transformers `CrossEncoder` with one score. Needs the extra ``hf``.

    Args:
        activation: what is applied to the model's output: ``none`` keeps the logits, which order the same and do not
            run together near 1; ``model`` is what its own configuration says.
        max_tokens: a shorter window than the model's, special tokens included.
    """

    kind = "a cross-encoder"

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
        max_tokens: int | None = None,
        activation: Activation = "none",
        allow_download: bool = False,
    ) -> None:
        super().__init__(model, revision=revision, device=device, batch_size=batch_size, allow_download=allow_download)
        self.max_tokens = max_tokens
        self.activation: Activation = activation

    def score(self, pairs: Sequence[tuple[str, str]]) -> PairScores:
        """As the protocol says; the library puts pairs of about the same length into one batch.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelNotFoundError: there are no such weights.
            ModelError: the model gives more than one score for a pair.
        """
        if not pairs:
            return np.empty(0, np.float32)
        encoder = self._opened()
        scores = encoder.predict(
            list(pairs),
            batch_size=self.batch_size,
            activation_fn=_function(self.activation),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(scores, np.float32).reshape(len(pairs))

    def room(self, query: str) -> int:
        encoder = self._opened()
        around = int(encoder.tokenizer.num_special_tokens_to_add(pair=True))
        return self._window(encoder) - around - len(self.offsets(query))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        tokenizer = self._opened().tokenizer
        encoding = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return [(int(start), int(end)) for start, end in encoding["offset_mapping"]]

    def _window(self, encoder: sentence_transformers.CrossEncoder) -> int:
        window = encoder.max_seq_length or encoder.tokenizer.model_max_length
        if window > 1_000_000:  # what transformers writes where nobody said
            raise ModelError(f"{self.model} does not say how long a pair it reads", hint="set max_tokens")
        return int(window)

    def _load(self) -> sentence_transformers.CrossEncoder:
        from sentence_transformers import CrossEncoder

        encoder: sentence_transformers.CrossEncoder = CrossEncoder(
            self.model,
            revision=self.revision,
            device=self.device,
            max_length=self.max_tokens,
            local_files_only=not self.allow_download,
        )
        if encoder.num_labels != 1:
            raise ModelError(
                f"{self.model} gives {encoder.num_labels} scores for a pair, a reranker needs one",
                hint="choose a model trained for ranking, such as cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        return encoder


def _function(activation: Activation) -> torch.nn.Module | None:
    from torch import nn

    match activation:
        case "none":
            return nn.Identity()
        case "sigmoid":
            return nn.Sigmoid()
        case "model":
            return None
