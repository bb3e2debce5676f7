"""How often phrases occur in a corpus: what triggers ask, whoever counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Count:
    """How often something occurs.

    `exact` is false where very frequent phrases were only sampled: `value` is then a lower bound (our own index) or
    the server's estimate (Infini-gram). Either way a value above zero says that it occurs, and zero says nothing.
    """

    value: int
    exact: bool = True

    @property
    def absent(self) -> bool:
        """Whether it is known not to occur."""
        return self.exact and self.value == 0


class CorpusCounts(Protocol):
    """Counts in one corpus. Words are the corpus' own: its rule for them is applied to the phrase."""

    def count(self, phrase: str) -> Count:
        """How often the phrase occurs.

        Raises:
            ValueError: there is no word in it.
            CountsUnavailableError: the service does not answer, or cannot count this. A count is never guessed.
        """
        ...

    def cooccur(self, first: str, second: str, *, window: int) -> Count:
        """How often the phrases occur in one document within `window` words.

        Raises:
            ValueError: there is no word in a phrase.
            CountsUnavailableError: as of `count`.
        """
        ...
