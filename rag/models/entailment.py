"""Natural language inference: whether a text implies a sentence, rules it out, or says nothing of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.errors import MissingExtraError, ModelError, ModelNotFoundError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Entailment:
    """The probabilities that a premise implies a hypothesis and that it contradicts it; the rest is neither.

    `contradicted` is 0 from a model that only tells entailment from all else.
    """

    entailed: float
    contradicted: float = 0.0


class EntailmentModel(Protocol):
    """Reads pairs of premise and hypothesis."""

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Entailment]:
        """One for each pair, in order. A pair that does not fit the window is cut at the end of the longer text."""
        ...


class TransformersEntailment:
    """A transformers sequence classifier with a label for entailment, run by torch; loaded at first use.

    Needs the extra ``hf``. Code from the model's repository is never run. Which output means what is read from the
    names of the model's labels, which differ from one model to the next.
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

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Entailment]:
        """As the protocol says.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            ModelNotFoundError: there are no such weights.
            ModelError: the model's labels do not say which one is entailment.
        """
        if not pairs:
            return []
        import torch

        tokenizer, model = self._open()
        labels = {int(at): name for at, name in (model.config.id2label or {}).items()}
        entailed, contradicted = outputs(labels, self.model)
        order = sorted(range(len(pairs)), key=lambda at: sum(map(len, pairs[at])))  # batches of about one length
        found: dict[int, Entailment] = {}
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = tokenizer(
                [pairs[at][0] for at in rows],
                [pairs[at][1] for at in rows],
                padding=True,
                truncation="longest_first",
                max_length=min(tokenizer.model_max_length, model.config.max_position_embeddings),
                return_tensors="pt",
            ).to(model.device)
            with torch.inference_mode():
                probabilities = model(**batch).logits.float().softmax(dim=-1).cpu().tolist()
            for at, row in zip(rows, probabilities, strict=True):
                found[at] = Entailment(row[entailed], 0.0 if contradicted is None else row[contradicted])
        return [found[at] for at in range(len(pairs))]

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
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            needed_for = "a model of entailment"
            raise MissingExtraError(error.name or "transformers", extra="hf", needed_for=needed_for) from error
        where = {"revision": self.revision or "main", "local_files_only": not self.allow_download}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, **where)
            model = AutoModelForSequenceClassification.from_pretrained(self.model, **where)
        except (OSError, ValueError) as error:  # not in the cache, no such repository, no network; a foreign folder
            raise ModelNotFoundError(
                f"cannot load {self.model!r}: {error}", hint="set allow_download: true, or give a folder"
            ) from error
        return tokenizer, model.to(self.device or "cpu").eval()


def outputs(labels: Mapping[int, str], model: str) -> tuple[int, int | None]:
    """Which output stands for entailment and which for contradiction, by their names.

    >>> outputs({0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}, "demo")
    (2, 0)
    >>> outputs({0: "entailment", 1: "not_entailment"}, "demo")
    (0, None)

    Raises:
        ModelError: none of them, or several, is called entailment.
    """
    names = {at: label.strip().lower() for at, label in labels.items()}
    entailed = [at for at, name in names.items() if name.startswith("entail")]
    contradicted = [at for at, name in names.items() if name.startswith("contradict")]
    if len(entailed) != 1:
        raise ModelError(
            f"{model} has the labels {sorted(labels.values())}; expected exactly one that begins with `entail`",
            hint="choose a model trained for natural language inference, such as cross-encoder/nli-deberta-v3-base",
        )
    return entailed[0], contradicted[0] if contradicted else None
