"""Several triggers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag.trigger.base import Decision, Moment, MomentName, Trigger
from rag.types import Scalar


class _Several:
    def __init__(self, parts: Sequence[tuple[str, Trigger]]) -> None:
        self.parts = parts

    @property
    def moments(self) -> frozenset[MomentName]:
        return frozenset().union(*(trigger.moments for _, trigger in self.parts))

    @property
    def reads_tokens(self) -> bool:
        return any(trigger.reads_tokens for _, trigger in self.parts)

    def asked(self, moment: Moment, *, until: bool) -> Decision:
        """The decision of the first who says `until`, else of the last.

        Those who speak at the moment are asked in their order, the rest are not, so the cheap ones go first.
        """
        numbers: dict[str, Scalar] = {}
        decision = Decision(retrieve=not until)
        for name, trigger in self.parts:
            if moment.name in trigger.moments:
                decision = trigger.decide(moment)
                numbers |= {f"{name}.{key}" if key in numbers else key: told for key, told in decision.numbers.items()}
                decision = replace(decision, why=f"{name}: {decision.why}", numbers=numbers)
                if decision.retrieve is until:
                    break
        return decision


class AnyOf(_Several):
    """Retrieves if one of them says so; that one's doubts and queries hold."""

    def decide(self, moment: Moment) -> Decision:
        return self.asked(moment, until=True)


class AllOf(_Several):
    """Retrieves if all that speak at the moment say so; the last one's doubts and queries hold."""

    def decide(self, moment: Moment) -> Decision:
        return self.asked(moment, until=False)


class Not:
    """Retrieves where the other does not, and not where it does. What it knows to ask is not taken over."""

    def __init__(self, other: Trigger) -> None:
        self.other = other

    @property
    def moments(self) -> frozenset[MomentName]:
        return self.other.moments

    @property
    def reads_tokens(self) -> bool:
        return self.other.reads_tokens

    def decide(self, moment: Moment) -> Decision:
        said = self.other.decide(moment)
        numbers: Mapping[str, Scalar] = said.numbers
        return Decision(retrieve=not said.retrieve, why=f"not: {said.why}", numbers=numbers)
