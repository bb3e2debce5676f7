"""Iter-RetGen: retrieve with the whole answer and write it anew (Shao et al., arXiv 2305.15294)."""

from __future__ import annotations

from rag.trigger.base import Decision, Finished, Moment, MomentName


class IterRetGen:
    """At the end of an answer: retrieve with the answer and the question, until there were `rounds` retrievals.

    The loop ends it where a retrieval brings nothing new. In the paper each round has the documents of its own
    retrieval alone; here they come behind the earlier ones. An answer that abstained has no words to ask with.
    """

    moments: frozenset[MomentName] = frozenset({"finished"})
    reads_tokens = False

    def __init__(self, *, rounds: int = 2) -> None:
        self.rounds = rounds

    def decide(self, moment: Moment) -> Decision:
        assert isinstance(moment, Finished)
        if moment.abstained:
            return Decision(retrieve=False, why="there is no answer to ask with")
        if moment.round >= self.rounds:
            return Decision(retrieve=False, why="all rounds done")
        return Decision(retrieve=True, why="once more, with the answer", keep=0)
