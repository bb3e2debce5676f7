"""Always and never: what the others are compared with."""

from __future__ import annotations

from rag.trigger.base import Decision, Moment, MomentName


class Always:
    """Retrieves for the question, and again with every sentence before it is kept.

    What FLARE (arXiv 2305.06983) comes to where nobody knows how probable the tokens are: Iter-RetGen by sentences.
    """

    moments: frozenset[MomentName] = frozenset({"written"})
    reads_tokens = False

    def decide(self, moment: Moment) -> Decision:
        return Decision(retrieve=True, why="always")


class Never:
    """Never retrieves."""

    moments: frozenset[MomentName] = frozenset({"asked"})
    reads_tokens = False

    def decide(self, moment: Moment) -> Decision:
        return Decision(retrieve=False, why="never")
