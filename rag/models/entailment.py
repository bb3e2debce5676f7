"""Natural language inference: whether a text implies a sentence, rules it out, or says nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.errors import ModelError
from rag.models.hub_model import TransformersModel


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


class TransformersEntailment(TransformersModel):
    """A transformers sequence classifier with a label for entailment. Needs the extra ``hf``.

    Which output means what is read from the names of the model's labels, which differ from one model to the next.
    """

    kind = "a model of entailment"
    auto = "AutoModelForSequenceClassification"

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Entailment]:
        """As the protocol says.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            ModelNotFoundError: there are no such weights.
            ModelError: the model's labels do not say which one is entailment.
        """
        if not pairs:
            return []
        tokenizer, model = self._opened()
        import torch

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
