"""What to retrieve with, of the question, the draft and the sentence in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from rag.trigger.base import Decision, Finished, Moment, Written
from rag.types import Query


class Auto:
    """What the trigger knows to ask; else the sentence without its doubts; else draft and question; else the question.

    No sentence but its doubts: no query.
    """

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        if decision.queries:
            return _queries(moment, *decision.queries)
        if isinstance(moment, Written):
            return _queries(moment, without(moment.sentence, decision.doubts))
        if isinstance(moment, Finished):
            return _queries(moment, f"{moment.draft} {moment.query.text}")
        return _queries(moment, moment.query.text)


def without(sentence: str, doubts: Sequence[tuple[int, int]]) -> str:
    """The sentence without the given ranges, widened to whole words, since a token may be half of one.

    >>> without("A met B in Paris.", [(11, 13)])
    'A met B in'
    """
    kept = []
    at = 0
    for word in sentence.split():
        start = sentence.index(word, at)
        at = start + len(word)
        if not any(start < end and begin < at for begin, end in doubts):
            kept.append(word)
    return " ".join(kept)


def _queries(moment: Moment, *texts: str) -> list[Query]:
    return [moment.query.rephrased(text.strip()) for text in texts if text.strip()]
