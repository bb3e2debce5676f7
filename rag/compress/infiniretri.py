"""Keep the sentences a local language model looks at when it reads the text stretch by stretch (InfiniRetri)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.attention_scores import attended_sentences, stretches
from rag.compress.budget import Scores, Selection
from rag.compress.passages import Sentence
from rag.errors import ConfigError
from rag.models.attention import AttendingModel, Attention, AttentionPrompt
from rag.models.template import as_data
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader


class AttendedSentences:
    """Reads the chunks in stretches of `size` tokens, each behind the sentences kept so far, and the question last.

    arXiv 2502.12962, training-free: of the last layer's attention from the question, the `tokens` best context tokens
    decide which sentences stay, whole. What is kept may fill half of the model's window; of more, the best stay. So a
    small model reads a text of any length. All tokens behind the context count alike, those of the chat format
    included.

    Args:
        heads: of one layer of the model, the last of all: a runtime gives them layer by layer.
        width: of the window over which attention is averaged, in tokens.

    Raises:
        ConfigError: the language model does not show its attention.
    """

    def __init__(self, model: object, *, heads: int, size: int = 1024, tokens: int = 300, width: int = 8) -> None:
        self.model = model
        self.heads = heads
        self.size = size
        self.tokens = tokens
        self.width = width

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        model = self.model
        if not isinstance(model, AttendingModel):
            raise ConfigError(
                f"ask.compress: `infiniretri` needs a model that shows its attention, {type(model).__name__} does not",
                hint="use a local runtime that does, or `hybrid`, which needs no language model",
            )
        costs = [model.count(sentence.text) for sentence in sentences]
        parts = stretches(costs, self.size)
        scores = np.zeros(len(sentences))
        memory: list[int] = []
        for part in parts:
            read = sorted({*memory, *part})
            attention = self._attention(model, query.text, [sentences[at].text for at in read])
            found, kept = attended_sentences(attention, tokens=self.tokens, width=self.width)
            scores[read] = found
            memory = _within([read[at] for at in kept], scores, costs, tokens=model.window // 2)
        if not memory:
            return Selection(scores, {int(scores.argmax())}, {"stretches": len(parts), "none_attended": True})
        return Selection(scores, set(memory), {"stretches": len(parts)})

    def _attention(self, model: AttendingModel, question: str, texts: Sequence[str]) -> list[Scores]:
        """The attention to each token of each text, summed over the heads of the last layer."""
        shared = ""
        ranges: list[tuple[int, int]] = []
        for text in map(as_data, texts):
            ranges.append((len(shared), len(shared) + len(text)))
            shared += f"{text}\n"
        attended = model.attend(AttentionPrompt(shared, tuple(ranges), (f"\n{as_data(question)}",)))
        return [self._last_layer(each) for each in attended.tails[0]]

    def _last_layer(self, attention: Attention) -> Scores:
        summed: Scores = attention[-self.heads :].astype(np.float64).sum(axis=0)
        return summed


def _within(kept: Sequence[int], scores: Scores, costs: Sequence[int], *, tokens: int) -> list[int]:
    """The best of `kept` that fit into `tokens`, the best one in any case."""
    fitting: list[int] = []
    for at in sorted(kept, key=lambda at: (-scores[at], at)):
        if not fitting or costs[at] <= tokens:
            fitting.append(at)
            tokens -= costs[at]
    return fitting
