"""Adaptive retrieval by popularity: ask the corpus how often it speaks of what is asked for."""

from __future__ import annotations

from rag.index.counts import CorpusCounts
from rag.text.analyze import STOPWORDS
from rag.text.entities import named
from rag.text.words import words
from rag.trigger.base import Asked, Decision, Moment, MomentName
from rag.trigger.quco_threshold import Threshold


class Popularity:
    """Retrieve if the rarest entity of the question is less popular than the threshold (arXiv 2212.10511).

    The paper has one threshold a relation and popularity from page views; here it is one threshold and counts. A
    question that names nothing has no popularity and is retrieved for.
    """

    moments: frozenset[MomentName] = frozenset({"asked"})
    reads_tokens = False

    def __init__(self, counts: CorpusCounts, threshold: Threshold) -> None:
        self.counts = counts
        self.threshold = threshold

    def decide(self, moment: Moment) -> Decision:
        if not isinstance(moment, Asked):
            return Decision(retrieve=False)
        subjects = named(moment.query.text)
        if not subjects:
            return Decision(retrieve=True, why="the question names nothing")
        popularity = {subject: self.popularity(subject, moment.query.text) for subject in subjects}
        rarest = min(popularity, key=popularity.__getitem__)
        threshold = self.threshold.value()
        return Decision(
            retrieve=popularity[rarest] < threshold,
            why=f"the rarest, {rarest!r}: {popularity[rarest]}",
            numbers={"popularity": popularity[rarest], "threshold": threshold},
        )

    def popularity(self, subject: str, question: str) -> int:
        """How popular a subject of the question is."""
        return self.counts.count(subject).value


class SubjectRelation(Popularity):
    """The same by how often the subject occurs near what is asked of it.

    After WiTQA (arXiv 2402.13492), which finds that models recall popular relations of rare subjects; its
    exact rule could not be checked, this one is ours: the relation is the question's other words without function
    words, and the popularity that of the subject with the rarest of them within `window` words.
    """

    def __init__(self, counts: CorpusCounts, threshold: Threshold, *, window: int) -> None:
        super().__init__(counts, threshold)
        self.window = window

    def popularity(self, subject: str, question: str) -> int:
        relation = relation_words(question)
        if not relation:
            return super().popularity(subject, question)
        return min(self.counts.cooccur(subject, word, window=self.window).value for word in relation)


def relation_words(question: str) -> list[str]:
    """The words of a question that are in no entity and no function words: what is asked.

    >>> relation_words("Who was the director of Titanic?")
    ['director']
    """
    entities = named(question)
    for entity in sorted(entities, key=len, reverse=True):
        question = question.replace(entity, " ")
    return [word for word in dict.fromkeys(words(question)) if word not in STOPWORDS and len(word) > 1]
