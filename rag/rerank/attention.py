"""Reranking by where a local language model looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from rag.errors import ConfigError
from rag.models.attention import AttendingModel, AttentionPrompt
from rag.models.attention_heads import Heads, heads_for
from rag.models.attention_prompt import BLANK, attention_prompt
from rag.models.passages import access_keys, canonical
from rag.models.template import Template
from rag.rerank.attention_scores import document_score
from rag.rerank.reorder import is_sure, reordered, unchanged
from rag.types import Query, Ranking, Scalar

FRAME = 32
"""Tokens set aside for the chat format."""

Order: TypeAlias = Literal["best-last", "canonical"]


class AttentionReranker:
    """In-context re-ranking (ICR, arXiv 2410.02642), of all heads or of those that retrieve (QRHead, arXiv 2506.09944).

    All candidates stand in one prompt, as published the best last, next to the question; two passes, one with the
    question and one with ``N/A``, whatever their number. Candidates that do not fit the model's window are the last of
    the ranking; they are left out, follow behind and are counted: windows over the ranking hurt, say the authors.

    Args:
        words: shown of each candidate; ``None`` shows them whole, as the answer's prompt does.
        order: in which candidates stand: the best last, or by document and place, as other stages can show them too.
        calibrate: whether what the blank query attends to is taken off; without, one pass, and worse rankings.

    Raises:
        ConfigError: the language model does not show its attention.
        ModelError: `heads` are those of another model.
    """

    def __init__(
        self,
        model: object,
        template: Template,
        *,
        keep: int,
        depth: int = 40,
        words: int | None = 300,
        heads: Heads = None,
        order: Order = "best-last",
        calibrate: bool = True,
        margin: float | None = None,
    ) -> None:
        self.model = model
        self.template = template
        self.keep = keep
        self.depth = depth
        self.words = words
        self.heads = heads
        self.order: Order = order
        self.calibrate = calibrate
        self.margin = margin

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [self._one(query, ranking) for query, ranking in zip(queries, rankings, strict=True)]

    def _one(self, query: Query, ranking: Ranking) -> Ranking:
        if is_sure(ranking, self.margin):
            return unchanged(ranking, keep=self.keep, why="margin")
        model = self.model
        if not isinstance(model, AttendingModel):
            raise ConfigError(
                f"ask.rerank: `attention` needs a model that shows its attention, {type(model).__name__} does not",
                hint="use a local runtime that does, or `listwise`, which needs text alone",
            )
        # What the answer's prompt would quote; elsewhere a title over the text helps to place it.
        whole = "{evidence}" in self.template.user
        texts = [self._cut(hit.chunk.text if whole else hit.chunk.indexed_text) for hit in ranking.hits[: self.depth]]
        prompt, places = self._fitting(model, query, ranking, texts)
        attended = model.attend(prompt, heads=heads_for(model, self.heads))
        asked = attended.tails[-1]
        blank = attended.tails[0] if self.calibrate else tuple(0 * each for each in asked)
        scores = {at: document_score(one, other) for at, one, other in zip(places, asked, blank, strict=True)}
        notes: dict[str, Scalar] = {
            "scored": len(places),
            "left_out": len(texts) - len(places),
            "requests": attended.usage.requests,
            "prompt_tokens": attended.usage.prompt_tokens,
            "cached_tokens": attended.usage.cached_tokens,
            **attended.usage.reuse_notes,
        }
        return reordered(ranking, scores, keep=self.keep, origin="attention", notes=notes)

    def _fitting(
        self, model: AttendingModel, query: Query, ranking: Ranking, texts: Sequence[str]
    ) -> tuple[AttentionPrompt, list[int]]:
        """The prompt with as many of the first texts as the window holds, and the ranks of these in its order."""
        shown = len(texts)
        while True:
            places = self._places(ranking, shown)
            access = access_keys([ranking[at].chunk.access for at in places])
            prompt = self._prompt(query, [texts[at] for at in places], access)
            longest = FRAME + max(model.count(prompt.system + prompt.shared + tail) for tail in prompt.tails)
            if longest <= model.window:
                return prompt, places
            if shown == 1:
                raise ConfigError(
                    f"ask.rerank: `attention` shows at least one passage, here {longest} tokens of {model.window}",
                    hint="lower `words`, or use a model with a larger window",
                )
            shown = max(1, min(shown - 1, shown * model.window // longest))

    def _places(self, ranking: Ranking, shown: int) -> list[int]:
        if self.order == "canonical":
            return canonical([hit.chunk for hit in ranking.hits[:shown]])
        return list(reversed(range(shown)))

    def _prompt(self, query: Query, texts: Sequence[str], access: tuple[str, ...]) -> AttentionPrompt:
        questions = (BLANK, query.text) if self.calibrate else (query.text,)
        return attention_prompt(self.template, questions, texts, history=query.history, access=access)

    def _cut(self, text: str) -> str:
        parts = text.split() if self.words is not None else []
        return text if self.words is None or len(parts) <= self.words else " ".join(parts[: self.words])
