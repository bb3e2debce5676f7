"""A prompt in the pieces that its reuse goes by."""

from __future__ import annotations

from dataclasses import dataclass

from rag.kv.types import Segment
from rag.models.local.chat import Encoded


@dataclass(frozen=True, slots=True)
class Pieces:
    """A prompt in pieces: `prefix` and `segments` up to the end of the last passage, and the `rest` behind it.

    `encoded` are the tokens of all with their places in the text.
    """

    prefix: tuple[int, ...]
    segments: tuple[Segment, ...]
    rest: tuple[int, ...]
    encoded: Encoded

    @property
    def shared(self) -> tuple[int, ...]:
        return self.encoded.ids[: len(self.encoded.ids) - len(self.rest)]

    @property
    def access(self) -> tuple[str, ...]:
        """Who may see each segment."""
        return tuple(segment.access for segment in self.segments)

    @property
    def passages(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.segments if segment.cached)
