"""Several triggers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag.trigger.base import Decision, Moment, MomentName, Trigger, joined
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

        Those who speak at the moment are asked in their order, the rest are not, so the cheap ones go first. What one
        made of the ranking stays so, unless it wanted to retrieve and nothing is retrieved; and where nothing is, the
        answer ends if one of them says so.
        """
        said: list[Decision] = []
        numbers: dict[str, Scalar] = {}
        for name, trigger in self.parts:
            if moment.name in trigger.moments:
                each = trigger.decide(moment)
                numbers = joined(numbers, each.numbers, name=name)
                said.append(replace(each, why=f"{name}: {each.why}"))
                if each.retrieve is until:
                    break
        if not said:
            return Decision(retrieve=not until)
        last = said[-1]
        found = [each.found for each in said if each.found is not None and (last.retrieve or not each.retrieve)]
        ends = [each for each in said if each.stop and not each.retrieve and not last.retrieve]
        last = replace(last, numbers=numbers, found=found[-1] if found else None)
        return replace(last, stop=True, keep=ends[-1].keep) if ends else last


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
