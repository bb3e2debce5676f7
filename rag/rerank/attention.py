"""Reranking by where a local language model looks."""

from __future__ import annotations

from collections.abc import Sequence

from rag.errors import ConfigError, PromptError
from rag.models.attention import AttendingModel, AttentionPrompt, Head
from rag.models.template import Template, as_data
from rag.rerank.attention_scores import document_score
from rag.rerank.reorder import is_sure, reordered, unchanged
from rag.types import Query, Ranking, Scalar

FIELDS = frozenset({"question", "documents"})
"""What the `attend` template may use."""

BLANK = "N/A"
"""The query without content, against which attention is calibrated."""

SEPARATOR = "\n\n"


class AttentionReranker:
    """In-context re-ranking (ICR, arXiv 2410.02642), of all heads or of those that retrieve (QRHead, arXiv 2506.09944).

    All candidates stand in one prompt, the best last, next to the question; two passes, one with the question and one
    with ``N/A``, whatever their number. Candidates that do not fit the model's window are the last of the ranking; they
    are left out, follow behind and are counted: windows over the ranking hurt, say the authors.

    Raises:
        ConfigError: the language model does not show its attention.
    """

    def __init__(
        self,
        model: object,
        template: Template,
        *,
        keep: int,
        depth: int = 40,
        words: int = 300,
        heads: Sequence[Head] | None = None,
        margin: float | None = None,
    ) -> None:
        self.model = model
        self.template = template
        self.keep = keep
        self.depth = depth
        self.words = words
        self.heads = heads
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
        texts = [self._cut(hit.chunk.indexed_text) for hit in ranking.hits[: self.depth]]
        prompt, shown = self._fitting(model, query.text, texts)
        attended = model.attend(prompt, heads=self.heads)
        blank, asked = attended.tails
        # The documents of the prompt are in reverse: its last is the ranking's first.
        scores = {
            shown - 1 - at: document_score(one, other) for at, (one, other) in enumerate(zip(asked, blank, strict=True))
        }
        notes: dict[str, Scalar] = {
            "scored": shown,
            "left_out": len(texts) - shown,
            "prompt_tokens": attended.usage.prompt_tokens,
            "cached_tokens": attended.usage.cached_tokens,
        }
        return reordered(ranking, scores, keep=self.keep, origin="attention", notes=notes)

    def _fitting(self, model: AttendingModel, question: str, texts: Sequence[str]) -> tuple[AttentionPrompt, int]:
        """The prompt with as many of the first texts as the window holds, and how many these are."""
        shown = len(texts)
        while True:
            prompt = self._prompt(question, texts[:shown])
            longest = max(model.count(prompt.shared + tail) for tail in prompt.tails)
            if longest <= model.window:
                return prompt, shown
            if shown == 1:
                raise ConfigError(
                    f"ask.rerank: `attention` shows at least one passage, here {longest} tokens of {model.window}",
                    hint="lower `words`, or use a model with a larger window",
                )
            shown = max(1, min(shown - 1, shown * model.window // longest))

    def _prompt(self, question: str, texts: Sequence[str]) -> AttentionPrompt:
        before, after = halves(self.template)
        shared = before.format_map({})
        ranges: list[tuple[int, int]] = []
        for number, text in enumerate(reversed(texts), 1):
            start = len(shared)
            shared += f"[{number}] {text}"
            ranges.append((start, len(shared)))
            shared += SEPARATOR
        tails = tuple(after.lstrip("\n").format_map({"question": asked}) for asked in (BLANK, as_data(question)))
        return AttentionPrompt(shared, tuple(ranges), tails)

    def _cut(self, text: str) -> str:
        parts = text.split()
        return as_data(text if len(parts) <= self.words else " ".join(parts[: self.words]))


def halves(template: Template) -> tuple[str, str]:
    """What stands before the documents, and what behind.

    Raises:
        PromptError: the template has a system part, or does not name the documents once and the question behind them.
    """
    before, found, after = template.user.partition("{documents}")
    if template.system or not found or "{documents}" in after or "{question}" in before or "{question}" not in after:
        raise PromptError(
            f"prompt {template.name!r}: expected one message, with {{documents}} once and {{question}} behind them"
        )
    return before, after
