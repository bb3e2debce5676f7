"""QuCo-RAG: retrieve by how often the corpus has what is asked for and what is written (arXiv 2512.19134)."""

from __future__ import annotations

from rag.index.counts import CorpusCounts
from rag.text.entities import named
from rag.text.triples import triples
from rag.trigger.base import Asked, Decision, Moment, MomentName, Written
from rag.trigger.quco_scores import Aggregate, flagged, is_final, rarity, says_nothing
from rag.trigger.quco_threshold import Threshold


class Quco:
    """Before writing: retrieve if the question's entities are rare. While writing: if a statement is unheard of.

    Entities and statements are found by rules here, by a trained extractor in the paper. A statement in doubt is looked
    up by its head and relation; the sentence is written anew.

    Args:
        threshold: the count below which the question's entities are rare.
        window: words within which the two ends of a statement must occur together, once at least.
        least_head: occurrences that the head of a statement without a tail must have; negative: any will do.
        stops: whether the answer ends after "the answer is", and before a sentence that says it does not know.
    """

    moments: frozenset[MomentName] = frozenset({"asked", "written"})
    reads_tokens = False

    def __init__(
        self,
        counts: CorpusCounts,
        threshold: Threshold,
        *,
        aggregate: Aggregate = "mean",
        window: int = 1000,
        least_head: int = 20,
        stops: bool = False,
    ) -> None:
        self.counts = counts
        self.threshold = threshold
        self.aggregate: Aggregate = aggregate
        self.window = window
        self.least_head = least_head
        self.stops = stops

    def decide(self, moment: Moment) -> Decision:
        if isinstance(moment, Asked):
            return self._before(moment.query.text)
        if isinstance(moment, Written):
            return self._while(moment)
        return Decision(retrieve=False)

    def _before(self, question: str) -> Decision:
        entities = named(question)
        if not entities:
            return Decision(retrieve=False, why="the question names nothing", numbers={"entities": 0})
        counts = {entity: self.counts.count(entity).value for entity in entities}
        tau = self.threshold.value()
        found = rarity(list(counts.values()), tau=tau, aggregate=self.aggregate)
        rarest = min(counts, key=counts.__getitem__)
        why = f"{self.aggregate} count of {len(counts)}, the rarest {rarest!r} ({counts[rarest]})"
        numbers = {"entities": len(counts), "count": found.value, "tau": tau, "rarest": counts[rarest]}
        return Decision(retrieve=found.rare, why=why, numbers=numbers)

    def _while(self, moment: Written) -> Decision:
        if self.stops and moment.draft and says_nothing(moment.sentence):
            return Decision(retrieve=False, why="does not know", stop=True, keep=len(moment.draft))
        statements = triples(moment.sentence)
        flags = flagged(statements, self.counts, window=self.window, least_head=self.least_head)
        numbers = {"statements": len(statements), "flagged": len(flags)}
        if flags:
            triple, count = flags[0].triple, flags[0].count.value
            said = f"{triple.head!r} and {triple.tail!r} together" if triple.tail is not None else f"{triple.head!r}"
            queries = tuple(dict.fromkeys(flag.query for flag in flags))
            return Decision(retrieve=True, why=f"{said}: {count} times", numbers=numbers, queries=queries)
        final = self.stops and is_final(moment.sentence)
        return Decision(retrieve=False, why="final" if final else "", numbers=numbers, stop=final)
