"""No fusion: one retriever's ranking."""

from __future__ import annotations

from collections.abc import Sequence

from rag.errors import ConfigError
from rag.retrieve.lists import clean
from rag.types import Ranking


class SingleFuser:
    """The first `keep` chunks of the only ranking, their scores unchanged.

    Raises:
        ConfigError: there is more or less than one ranking.
    """

    def __init__(self, *, keep: int) -> None:
        self.keep = keep

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        if len(rankings) != 1:
            raise ConfigError(
                f"ask.fuse: `single` passes one ranking on, got {len(rankings)}",
                hint="name one retriever, or a fuser such as `zscore`",
            )
        return Ranking.of(clean(rankings)[0], keep=self.keep)
