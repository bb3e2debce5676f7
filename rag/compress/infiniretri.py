"""Keep the sentences a local language model looks at when it reads the text stretch by stretch (InfiniRetri)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from rag.compress.attention_scores import attended_sentences, stretches
from rag.compress.budget import Scores, Selection
from rag.compress.passages import Sentence
from rag.errors import ConfigError
from rag.models.attention import AttendingModel, AttentionPrompt, Head
from rag.models.attention_heads import Heads, anatomy_of, heads_for
from rag.models.attention_prompt import attention_prompt
from rag.models.passages import access_keys, canonical
from rag.models.template import Template, as_data
from rag.types import Chunk, Query, Usage

if TYPE_CHECKING:
    from rag.index.reader import Reader


class AttendedSentences:
    """Reads the chunks in stretches of `size` tokens, each behind the sentences kept so far, and the question last.

    arXiv 2502.12962, training-free: of the last layer's attention from the question, the `tokens` best context tokens
    decide which sentences stay, whole. What is kept may fill half of the model's window; of more, the best stay. So a
    small model reads a text of any length. All tokens behind the context count alike, those of the chat format
    included.

    Args:
        heads: whose attention counts; ``"last"``, those of the last layer, is the paper's.
        template: of the generate stage: the text is shown as the answer's prompt shows it, so that a model which keeps
            what it read reads it once for both. ``None`` shows sentences one a line.
        order: in which the chunks are read: as they are ranked, or by document and place, as other stages can show them
            too.
        width: of the window over which attention is averaged, in tokens.

    Raises:
        ConfigError: the language model does not show its attention.
        ModelError: `heads` are those of another model.
    """

    def __init__(
        self,
        model: object,
        *,
        heads: Heads | Literal["last"] = "last",
        template: Template | None = None,
        order: Literal["ranked", "canonical"] = "ranked",
        size: int = 1024,
        tokens: int = 300,
        width: int = 8,
    ) -> None:
        self.model = model
        self.heads = heads
        self.template = template
        self.order: Literal["ranked", "canonical"] = order
        self.size = size
        self.tokens = tokens
        self.width = width

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        if self.order == "ranked":
            return self._select(query, sentences, chunks)
        place = {chunk: at for at, chunk in enumerate(canonical(chunks))}
        order = sorted(range(len(sentences)), key=lambda at: (place[sentences[at].chunk], at))
        found = self._select(query, [sentences[at] for at in order], chunks)
        scores = np.zeros(len(sentences))
        scores[order] = found.scores
        return replace(found, scores=scores, kept={order[at] for at in found.kept})

    def _select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk]) -> Selection:
        model = self.model
        if not isinstance(model, AttendingModel):
            raise ConfigError(
                f"ask.compress: `infiniretri` needs a model that shows its attention, {type(model).__name__} does not",
                hint="use a local runtime that does, or `hybrid`, which needs no language model",
            )
        costs = [model.count(sentence.text) for sentence in sentences]
        parts = stretches(costs, self.size)
        heads = self._heads()
        usage = Usage()
        scores = np.zeros(len(sentences))
        memory: list[int] = []
        for part in parts:
            read = sorted({*memory, *part})
            attended = model.attend(self._prompt(query, sentences, chunks, read), heads=heads)
            usage += attended.usage
            attention = [each.astype(np.float64).sum(axis=0) for each in attended.tails[0]]
            found, kept = attended_sentences(attention, tokens=self.tokens, width=self.width)
            scores[read] = found
            memory = _within([read[at] for at in kept], scores, costs, tokens=model.window // 2)
        notes = {
            "stretches": len(parts),
            "requests": usage.requests,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            **usage.reuse_notes,
        }
        if not memory:
            return Selection(scores, {int(scores.argmax())}, {**notes, "none_attended": True})
        return Selection(scores, set(memory), notes)

    def _heads(self) -> Sequence[Head] | None:
        if self.heads != "last":
            return heads_for(self.model, self.heads)
        anatomy = anatomy_of(self.model, asked_by="ask.compress.heads")
        return [Head(anatomy.layers - 1, head) for head in range(anatomy.heads)]

    def _prompt(
        self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], read: Sequence[int]
    ) -> AttentionPrompt:
        """The sentences at `read`, each a document of the prompt, and the question."""
        if self.template is None:
            return _lines(query.text, [sentences[at].text for at in read])
        texts: list[str] = []
        access: list[tuple[str, ...] | None] = []
        ranges: list[list[tuple[int, int]]] = []
        for run in _runs(read, sentences):
            first, last = sentences[run[0]], sentences[run[-1]]
            chunk = chunks[first.chunk]
            whole = len(run) == sum(sentence.chunk == first.chunk for sentence in sentences)
            start = chunk.span.start if whole else first.span.start
            end = chunk.span.end if whole else last.span.end
            access.append(chunk.access)
            texts.append(chunk.text[start - chunk.span.start : end - chunk.span.start])
            ranges.append([(sentences[at].span.start - start, sentences[at].span.end - start) for at in run])
        prompt = attention_prompt(
            self.template, (query.text,), texts, history=query.history, access=access_keys(access)
        )
        documents = tuple(
            (passage + start, passage + end)
            for (passage, _), inside in zip(prompt.passages, ranges, strict=True)
            for start, end in inside
        )
        return replace(prompt, documents=documents)


def _lines(question: str, texts: Sequence[str]) -> AttentionPrompt:
    shared = ""
    ranges: list[tuple[int, int]] = []
    for text in map(as_data, texts):
        ranges.append((len(shared), len(shared) + len(text)))
        shared += f"{text}\n"
    return AttentionPrompt(shared, tuple(ranges), (f"\n{as_data(question)}",))


def _runs(read: Sequence[int], sentences: Sequence[Sentence]) -> list[list[int]]:
    """`read` cut where the chunk changes or a sentence is left out."""
    numbered = enumerate(read)
    return [
        [at for _, at in run]
        for _, run in groupby(numbered, key=lambda each: (sentences[each[1]].chunk, each[1] - each[0]))
    ]


def _within(kept: Sequence[int], scores: Scores, costs: Sequence[int], *, tokens: int) -> list[int]:
    """The best of `kept` that fit into `tokens`, the best one in any case."""
    fitting: list[int] = []
    for at in sorted(kept, key=lambda at: (-scores[at], at)):
        if not fitting or costs[at] <= tokens:
            fitting.append(at)
            tokens -= costs[at]
    return fitting
