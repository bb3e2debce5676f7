"""Self-RAG: retrieve where the model asks for it, keep what it finds relevant and supported (arXiv 2310.11511)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from rag.text.markers import unmarked
from rag.trigger.base import Asked, Decision, Found, Moment, MomentName, Written
from rag.trigger.selfrag_scores import segment
from rag.types import Query, Ranking, Scalar, ScoredChunk, Usage


@dataclass(slots=True)
class Opinion:
    """A number, and what it cost to get."""

    value: float
    usage: Usage = field(default_factory=Usage)


class Critic(Protocol):
    """The four questions of Self-RAG.

    Raises:
        BackendError: the model cannot be asked, or does not answer.
    """

    def retrieve(self, question: str, draft: str) -> Opinion:
        """How much it wants to retrieve before it goes on, 0 to 1."""
        ...

    def relevance(self, question: str, draft: str, passage: str) -> Opinion:
        """How relevant the passage is, 0 to 1."""
        ...

    def support(self, question: str, passage: str, sentence: str) -> Opinion:
        """How far the passage supports the sentence, 0 to 1."""
        ...

    def utility(self, question: str, passage: str, sentence: str) -> Opinion:
        """How useful the sentence is as an answer, -1 to 1."""
        ...


class SelfRag:
    """Before writing and after each sentence: retrieve if the critic wants to; drop passages that it finds irrelevant.

    A sentence that its best passage does not support is written anew with more evidence. The paper writes a
    sentence from each passage and keeps the best by `segment`; here one is written from all, and scored with each of
    the `best` passages.

    Args:
        threshold: how much the critic must want to retrieve; published: 0.2.
        relevant: how relevant a passage must be to be kept; the best one always is.
        supported: how well a sentence must be supported to stay.
        best: how many passages to judge.
    """

    moments: frozenset[MomentName] = frozenset({"asked", "found", "written"})
    reads_tokens = False

    def __init__(
        self,
        critic: Critic,
        *,
        threshold: float = 0.2,
        relevant: float = 0.5,
        supported: float = 0.5,
        best: int = 5,
    ) -> None:
        self.critic = critic
        self.threshold = threshold
        self.relevant = relevant
        self.supported = supported
        self.best = best

    def decide(self, moment: Moment) -> Decision:
        if isinstance(moment, Asked):
            return self._wants(moment.query, "", Usage(), {})
        if isinstance(moment, Found):
            return self._kept(moment)
        assert isinstance(moment, Written)
        return self._judged(moment)

    def _wants(self, query: Query, draft: str, spent: Usage, numbers: dict[str, Scalar]) -> Decision:
        wish = self.critic.retrieve(query.text, draft)
        wants = wish.value > self.threshold
        return Decision(
            retrieve=wants,
            why="it wants to know more" if wants else "it knows enough",
            numbers={**numbers, "retrieve": wish.value, **_cost(spent + wish.usage)},
        )

    def _kept(self, moment: Found) -> Decision:
        hits = moment.ranking.hits[: self.best]
        opinions = [self.critic.relevance(moment.query.text, "", hit.chunk.text) for hit in hits]
        scored = [
            ScoredChunk(hit.chunk, opinion.value, "self-rag") for hit, opinion in zip(hits, opinions, strict=True)
        ]
        ranked = Ranking.of(scored)
        kept = tuple(hit for at, hit in enumerate(ranked) if at == 0 or hit.score >= self.relevant)
        usage = sum((opinion.usage for opinion in opinions), Usage())
        numbers = {"judged": len(hits), "relevant": len(kept), **_cost(usage)}
        return Decision(retrieve=False, why="relevant ones kept", found=replace(ranked, hits=kept), numbers=numbers)

    def _judged(self, moment: Written) -> Decision:
        question, sentence = moment.query.text, unmarked(moment.sentence).strip()
        spent, best, supported = Usage(), None, 0.0
        for part in moment.evidence[-self.best :]:
            opinions = (
                self.critic.relevance(question, moment.draft, part.text),
                self.critic.support(question, part.text, sentence),
                self.critic.utility(question, part.text, sentence),
            )
            spent += sum((opinion.usage for opinion in opinions), Usage())
            relevance, support, utility = (opinion.value for opinion in opinions)
            score = segment(relevance=relevance, support=support, utility=utility)
            if best is None or score > best:
                best, supported = score, support
        numbers: dict[str, Scalar] = {"segment": best, "support": supported}
        if best is not None and supported < self.supported:
            return Decision(retrieve=True, why="hardly supported", numbers={**numbers, **_cost(spent)})
        said = self._wants(moment.query, moment.draft + moment.sentence, spent, numbers)
        # The sentence stays: what is retrieved is for the next one.
        return replace(said, keep=len(moment.draft) + len(moment.sentence))


def _cost(usage: Usage) -> dict[str, Scalar]:
    return {
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
