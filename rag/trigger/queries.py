"""What to retrieve with, of the question, the draft and the sentence in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from rag.text.entities import named
from rag.text.markers import unmarked
from rag.trigger.base import Decision, Finished, Moment, Written
from rag.types import Query


class Auto:
    """What the trigger knows to ask; else the sentence without its doubts; else draft and question; else the question.

    A sentence that is all doubts gives no query.
    """

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        if decision.queries:
            return _queries(moment, *decision.queries)
        if isinstance(moment, Finished):
            return WholeDraft(question=True).build(moment, decision)
        return Sentence(masked=True).build(moment, decision)


class Sentence:
    """The sentence; with `masked`, without the words in doubt. Where none was written, the question."""

    def __init__(self, *, masked: bool) -> None:
        self.masked = masked

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        if not isinstance(moment, Written):
            return _queries(moment, moment.query.text)
        return _queries(moment, without(unmarked(moment.sentence), decision.doubts if self.masked else ()))


class WholeDraft:
    """The answer so far, without its markers; with `question`, the question behind it, as Iter-RetGen has it.

    Where nothing was written, the question.
    """

    def __init__(self, *, question: bool) -> None:
        self.question = question

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        draft = ""
        if isinstance(moment, Written):
            draft = moment.draft + moment.sentence
        elif isinstance(moment, Finished):
            draft = moment.draft
        words = " ".join(unmarked(draft).split())
        return _queries(moment, f"{words} {moment.query.text}" if self.question or not words else words)


class NewNames:
    """One query for each name in what is written that the question does not have, at most `most`, the first ones.

    Names stand for what the next hop is about: the answer so far says who directed the film, the question asks for
    that person's mother. Found by rules (`rag.text.entities`); no new name, no query. Ours.
    """

    def __init__(self, *, most: int = 3) -> None:
        self.most = most

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        text = ""
        if isinstance(moment, Written):
            text = moment.sentence
        elif isinstance(moment, Finished):
            text = moment.draft
        known = moment.query.text.lower()
        new = [name for name in dict.fromkeys(named(unmarked(text))) if name.lower() not in known]
        return _queries(moment, *new[: self.most])


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
