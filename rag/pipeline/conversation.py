"""A conversation: questions in a row, each understood from what was said before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.errors import BackendError, ModelError
from rag.models.llm import Sampling
from rag.models.passages import earlier_turns
from rag.models.sized import sized
from rag.models.template import Template, as_data
from rag.models.tokens import estimated_tokens, message_tokens
from rag.pipeline.memory import Memory, Remembered, load, save
from rag.query.condense import condense

if TYPE_CHECKING:
    from rag.embed.base import Embedder, Vectors
    from rag.models.llm import LanguageModel
    from rag.pipeline.pipeline import Pipeline, Turn
    from rag.types import Answer, Condition

logger = logging.getLogger(__name__)

SUMMARY_QUESTION = "What was said before, in short?"
"""Stands for a question where the summary is given as the first of the earlier turns."""

SUMMARY_FIELDS = frozenset({"summary", "history"})


class Conversation:
    """Asks a pipeline, and remembers (`rag.pipeline.memory`).

    With a language model (`llm`), a follow-up is made to stand alone before it is searched for, and turns that are no
    longer recent go into a running summary. Without one there is neither: earlier turns are then only found again by
    the embedder. Where the index has no vectors, no earlier turn is recalled.

    Args:
        path: a file that keeps the conversation; read now, written after each turn. Only for the same `principals`.
        recent: how many of the last turns are always given.
        recalled: how many earlier turns are given at most, the most similar to the question.
        tokens: the most tokens that summary, recalled and recent turns may have together, in the model's own count.
        entries: how many turns are remembered at most.

    Raises:
        SourceError: the file is no conversation, or that of others.

    >>> conversation = Conversation(pipeline)                                             # doctest: +SKIP
    >>> conversation.ask("Who leads sales?").text                                         # doctest: +SKIP
    >>> conversation.ask("And since when?").query                                         # doctest: +SKIP
    'Since when has Ann led sales?'
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        path: Path | None = None,
        filter: Condition | None = None,
        principals: frozenset[str] | None = None,
        recent: int = 4,
        recalled: int = 3,
        tokens: int = 1500,
        entries: int = 500,
    ) -> None:
        self.pipeline = pipeline
        self.path = path
        self.filter = filter
        self.principals = principals
        self.recent = recent
        self.recalled = recalled
        self.tokens = tokens
        self.memory = Memory(entries) if path is None else load(path, entries=entries, principals=principals)
        self._vectors: dict[int, Vectors] = {}

    def ask(self, question: str) -> Answer:
        """Answer a question of the conversation; `Answer.query` is what was asked of the pipeline."""
        model = self.pipeline.language_model
        history = self.history(question)
        asked = question
        if model is not None and history and not self._pipeline_condenses:
            asked = condense(question, history, model, prompt=self.pipeline.prompt("condense"))
        answer = self.pipeline.ask(asked, filter=self.filter, principals=self.principals, history=history)
        self.memory.add(question, answer.text)
        if model is not None:
            self._summarize(model)
        if self.path is not None:
            save(self.memory, self.path, principals=self.principals)
        return answer

    def clear(self) -> None:
        """Forget everything, in the file too."""
        self.memory.clear()
        self._vectors.clear()
        if self.path is not None:
            save(self.memory, self.path, principals=self.principals)

    def history(self, question: str) -> list[Turn]:
        """The turns given with a question: the summary, earlier ones that are similar, the last ones.

        Where they have more than `tokens`, recalled turns go first, the least similar before others, then the summary,
        then the oldest of the last turns.
        """
        count = self._count
        last = self.memory.turns[-self.recent :] if self.recent else []
        kept: list[Remembered] = []
        left = self.tokens
        for turn in reversed(last):
            left -= (cost := count(earlier_turns([turn.turn])))
            if left < 0:
                left += cost
                break
            kept.append(turn)
        summary: list[Turn] = [(SUMMARY_QUESTION, self.memory.summary)] if self.memory.summary else []
        if summary and (cost := count(earlier_turns(summary))) <= left:
            left -= cost
        else:
            summary = []
        found: list[Remembered] = []
        for turn in self._similar(question, but=len(last)):
            if (cost := count(earlier_turns([turn.turn]))) <= left:
                left -= cost
                found.append(turn)
        self.memory.recall(found)
        return [*summary, *(turn.turn for turn in sorted([*found, *kept], key=lambda each: each.at))]

    @property
    def _pipeline_condenses(self) -> bool:
        return any(spec.use == "condense" for spec in self.pipeline.spec.ask.transform)

    def _count(self, text: str) -> int:
        model = self.pipeline.language_model
        return estimated_tokens(text) if model is None else sized(model).count(text)

    def _similar(self, question: str, *, but: int) -> list[Remembered]:
        """The earlier turns nearest to the question, nearest first, without the last `but`."""
        earlier = self.memory.turns[: len(self.memory.turns) - but]
        if not earlier or not self.recalled or self.pipeline.spec.ingest.index.dense is None:
            return []
        embedder = self.pipeline.embedder
        known = {turn.at for turn in earlier}
        self._vectors = {at: vector for at, vector in self._vectors.items() if at in known}
        new = [turn for turn in earlier if turn.at not in self._vectors]
        if new:
            texts = [_fitting(f"{turn.question}\n{turn.answer}", embedder) for turn in new]
            self._vectors |= dict(zip((turn.at for turn in new), embedder.embed_documents(texts), strict=True))
        vectors = np.stack([self._vectors[turn.at] for turn in earlier])
        near = vectors @ embedder.embed_queries([_fitting(question, embedder)])[0]
        best = sorted(range(len(earlier)), key=lambda at: (-float(near[at]), -earlier[at].at))[: self.recalled]
        return [earlier[at] for at in best if near[at] > 0]

    def _summarize(self, model: LanguageModel) -> None:
        """Take the turns that are no longer recent into the summary, as many at a time as the model's window takes."""
        memory = self.memory
        leaving = [turn for turn in memory.turns if memory.summarized <= turn.at < memory.said - self.recent]
        if not leaving:
            return
        template = Template.parse(self.pipeline.prompt("summary"), name="summary", fields=SUMMARY_FIELDS)
        most = max(64, self.tokens // 3)
        values = {"summary": as_data(memory.summary), "history": ""}
        room = sized(model).window - most - message_tokens(template.render(values), self._count)
        taken = self._within(leaving, room)
        messages = template.render({**values, "history": earlier_turns([turn.turn for turn in taken])})
        try:
            memory.summary = (
                model.complete(messages, Sampling(max_tokens=most)).text.strip() if taken else memory.summary
            )
        except (BackendError, ModelError) as error:  # the answer is there; the turns are taken in with the next ones
            logger.warning("the conversation was not summarized: %s", error)
            return
        memory.summarized = (taken or leaving)[-1].at + 1

    def _within(self, turns: Sequence[Remembered], tokens: int) -> list[Remembered]:
        """The first turns that have at most so many tokens together; one that alone has more is left out."""
        taken: list[Remembered] = []
        left = tokens
        for turn in turns:
            cost = self._count(earlier_turns([turn.turn]))
            if cost > tokens:
                logger.warning("a turn of %d tokens is too long to be summarized", cost)
                continue
            left -= cost
            if left < 0:
                break
            taken.append(turn)
        return taken


def _fitting(text: str, embedder: Embedder) -> str:
    """The beginning of `text` that the embedder can read."""
    offsets = embedder.tokenizer.offsets(text)
    most = embedder.tokenizer.max_tokens
    return text if len(offsets) <= most else text[: offsets[most - 1][1]]
