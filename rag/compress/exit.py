"""EXIT: a language model says of every sentence whether it is useful (arXiv 2412.12559)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Selection
from rag.compress.passages import Sentence
from rag.errors import ConfigError
from rag.models.batch import choose_all
from rag.models.llm import ChoosingModel, LanguageModel, Message
from rag.models.template import Template, as_data
from rag.models.tokens import estimated_tokens, message_tokens
from rag.types import Chunk, Query, Scalar

if TYPE_CHECKING:
    from rag.index.reader import Reader

FIELDS = frozenset({"question", "document", "sentence"})
"""What the `exit` template may use."""

OPTIONS = ("Yes", "No")


class ExitSentences:
    """Keeps the sentences with ``p(Yes) / (p(Yes) + p(No)) >= threshold``, each asked about with its chunk around it.

    Hwang et al., arXiv 2412.12559, with the prompt their adapter was trained on; the server's chat template frames it.
    The context is the sentence's own chunk under its heading, as in their training, not all chunks as in their script.
    A chunk that does not fit into `context_tokens` is cut at its ends, never the sentence.

    Where no sentence reaches the threshold the best one is kept and ``none_useful`` noted. A sentence the model answers
    with neither word counts as not useful, and is counted.

    Raises:
        ConfigError: the language model does not give the probabilities of its next token.
    """

    def __init__(
        self,
        model: LanguageModel,
        template: Template,
        *,
        threshold: float = 0.5,
        context_tokens: int = 4096,
        concurrency: int = 4,
    ) -> None:
        self.model = model
        self.template = template
        self.threshold = threshold
        self.context_tokens = context_tokens
        self.concurrency = concurrency

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        model = self.model
        if not isinstance(model, ChoosingModel):
            raise ConfigError(
                f"ask.compress: `exit` needs a model that gives token probabilities, {type(model).__name__} does not",
                hint="use a server with `logprobs`, or `hybrid`, which needs no language model",
            )
        prompts = [self._prompt(query.text, sentences, at) for at in range(len(sentences))]
        choices = choose_all(model, prompts, OPTIONS, concurrency=self.concurrency)
        scores = np.array([useful(*choice.probabilities) for choice in choices])
        kept = set(np.flatnonzero(scores >= self.threshold).tolist())
        tokens = sum(choice.usage.prompt_tokens for choice in choices)
        notes: dict[str, Scalar] = {"asked": len(choices), "prompt_tokens": tokens}
        if unclear := sum(not any(choice.probabilities) for choice in choices):
            notes["unclear"] = unclear
        if not kept:
            return Selection(scores, {int(scores.argmax())}, {**notes, "none_useful": True})
        return Selection(scores, kept, notes)

    def _prompt(self, question: str, sentences: Sequence[Sentence], at: int) -> list[Message]:
        sentence = sentences[at]
        values = {"question": as_data(question), "sentence": as_data(sentence.text), "document": ""}
        room = self.context_tokens - message_tokens(self.template.render(values))
        context = around(sentences, at, tokens=room - estimated_tokens(sentence.heading))
        document = f"{sentence.heading}\n{context}" if sentence.heading else context
        return self.template.render({**values, "document": as_data(document)})


def useful(yes: float, no: float) -> float:
    """The share of ``Yes``: the softmax over the two alone; 0 where the model would say neither.

    With logits 2 and 1 it is 1 / (1 + exp(-1)):

    >>> from math import exp
    >>> round(useful(exp(2), exp(1)), 4)
    0.7311
    """
    return yes / (yes + no) if yes + no > 0 else 0.0


def around(sentences: Sequence[Sentence], at: int, *, tokens: int) -> str:
    """The sentence with those before and after it in its chunk, joined by spaces, as many as fit into `tokens`."""
    first = last = at
    left = tokens - estimated_tokens(sentences[at].text)
    for step in range(1, len(sentences)):
        for beside in (at - step, at + step):
            touches = beside in (first - 1, last + 1) and 0 <= beside < len(sentences)
            if touches and sentences[beside].chunk == sentences[at].chunk:
                cost = estimated_tokens(sentences[beside].text) + 1
                if cost <= left:
                    left -= cost
                    first, last = min(first, beside), max(last, beside)
    return " ".join(sentence.text for sentence in sentences[first : last + 1])
