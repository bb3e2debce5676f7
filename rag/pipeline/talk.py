"""One question in the loop of dynamic retrieval: what was written, what is sought, what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.generate.base import Outcome
from rag.pipeline.draft import Draft
from rag.types import Query, Usage

if TYPE_CHECKING:
    from rag.pipeline.run import Work


@dataclass(frozen=True, slots=True)
class Seek:
    """A retrieval that was decided.

    `keep` is how much of the text stays if it adds evidence, `stay` how much if it adds none; `over` if the answer is
    then finished as it stands.
    """

    queries: tuple[Query, ...]
    elsewhere: bool = False
    question: bool = False
    keep: int = 0
    stay: int = 0
    over: bool = False


@dataclass(slots=True)
class Talk:
    """One question in the loop. `tokens` counts all that was written for it, also what was taken back."""

    work: Work
    until: float
    draft: Draft = field(default_factory=Draft)
    seek: Seek | None = None
    round: int = 0
    tokens: int = 0
    unasked: bool = False
    stopped: bool = False
    over: bool = False
    deciding_seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    given: set[int] = field(default_factory=set)
    last: Outcome = field(default_factory=Outcome)

    @property
    def outcome(self) -> Outcome:
        abstained = self.last.abstained and not self.draft.accepted
        reason = self.last.reason if abstained else ""
        return Outcome(
            usage=self.usage,
            given=tuple(sorted(self.given)),
            prompt=self.last.prompt,
            abstained=abstained,
            reason=reason,
        )
