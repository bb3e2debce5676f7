"""Adaptive retrieval by popularity: ask the corpus how often it speaks of what is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from rag.index.counts import CorpusCounts
from rag.text.entities import named
from rag.trigger.base import Asked, Decision, Moment, MomentName
from rag.trigger.quco_threshold import Threshold
from rag.trigger.relations import relation_of, relation_words


class Popularity:
    """Retrieve if the rarest entity of the question is less popular than its relation's threshold (arXiv 2212.10511).

    In the paper popularity is page views, and the relation of a question is given; here it is counts, and the relation
    is found by its words. A question that names nothing has no popularity and is retrieved for.

    Args:
        threshold: for questions of no relation in `relations`.
        relations: a threshold for each relation, by the words that a question of it has: ``{"director": 40}``.
    """

    moments: frozenset[MomentName] = frozenset({"asked"})
    reads_tokens = False

    def __init__(
        self, counts: CorpusCounts, threshold: Threshold, relations: Mapping[str, float] | None = None
    ) -> None:
        self.counts = counts
        self.threshold = threshold
        self.relations = relations or {}

    def decide(self, moment: Moment) -> Decision:
        if not isinstance(moment, Asked):
            return Decision(retrieve=False)
        question = moment.query.text
        rarest = self.rarest(question)
        if rarest is None:
            return Decision(retrieve=True, why="the question names nothing")
        subject, popularity = rarest
        relation = relation_of(question, self.relations)
        threshold = self.threshold.value() if relation is None else self.relations[relation]
        of = "" if relation is None else f" in questions of {relation!r}"
        return Decision(
            retrieve=popularity < threshold,
            why=f"the rarest{of}, {subject!r}: {popularity}",
            numbers={"popularity": popularity, "threshold": threshold},
        )

    def rarest(self, question: str) -> tuple[str, int] | None:
        """The least popular subject of a question, and how popular it is; ``None`` where it names nothing."""
        popularity = {subject: self.popularity(subject, question) for subject in named(question)}
        return min(popularity.items(), key=lambda item: item[1]) if popularity else None

    def popularity(self, subject: str, question: str) -> int:
        """How popular a subject of the question is."""
        return self.counts.count(subject).value


class SubjectRelation(Popularity):
    """The same by how often the subject occurs near what is asked of it.

    After WiTQA (arXiv 2402.13492), which finds that models recall popular relations of rare subjects; its
    exact rule could not be checked, this one is ours: the relation is the question's other words without function
    words, and the popularity that of the subject with the rarest of them within `window` words.
    """

    def __init__(
        self, counts: CorpusCounts, threshold: Threshold, relations: Mapping[str, float] | None = None, *, window: int
    ) -> None:
        super().__init__(counts, threshold, relations)
        self.window = window

    def popularity(self, subject: str, question: str) -> int:
        relation = relation_words(question)
        if not relation:
            return super().popularity(subject, question)
        return min(self.counts.cooccur(subject, word, window=self.window).value for word in relation)
