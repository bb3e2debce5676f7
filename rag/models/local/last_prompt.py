"""The prompt that was read last and the questions asked behind it: what the next stage shows again is found here.

No stage says that it shows what another has shown: it is the tokens that are the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from rag.kv.base import Prefilled, Stretch
from rag.kv.chunk import ChunkCache
from rag.kv.types import Segment, TokenRange
from rag.models.local.attending import Means
from rag.models.local.pieces import Pieces

_NUMBERS = count(1)
QUESTIONS = 4
"""How many are remembered behind one prompt; each holds its attention to the whole prompt."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was read behind the sources.

    `tail` are its keys and values, ``None`` where not all layers were run. `means` is its attention in the first
    `layers` layers, averaged over the rows from token `start` of the prompt on.
    """

    ids: tuple[int, ...]
    tail: ChunkCache | None
    means: Means | None = None
    start: int = 0
    layers: int = 0


class LastPrompt:
    """A prompt up to the end of its last passage, as it was read; `number` is unlike that of any other."""

    def __init__(self, pieces: Pieces, prefilled: Prefilled) -> None:
        self.number = next(_NUMBERS)
        self.pieces = pieces
        self.prefilled = prefilled
        self._questions: OrderedDict[tuple[int, ...], Question] = OrderedDict()

    def same(self, pieces: Pieces) -> bool:
        """Whether the sources stand in that prompt as here, token by token, and those who may see them are the same."""
        return self.prefilled.ids == pieces.shared and self.pieces.access == pieces.access

    def remember(self, question: Question) -> None:
        self._questions[question.ids] = question
        self._questions.move_to_end(question.ids)
        if len(self._questions) > QUESTIONS:
            self._questions.popitem(last=False)

    def asked(self, ids: tuple[int, ...], *, start: int, layers: int) -> Question | None:
        """The same question with its attention in the first `layers` layers."""
        found = self._questions.get(ids)
        return found if found is not None and found.start == start and found.layers >= layers else None

    def continued(self, pieces: Pieces, *, cut: bool) -> list[Stretch | Segment] | None:
        """The prompt as stretches of this one, and the tokens that are new; ``None`` where the question is another.

        What stands behind the question is new, a draft. Where the sources are the same nothing is lost.

        Args:
            cut: also where sources, or parts of them, were left out: what is left, and the question, saw these, so not
                where that could tell of sources that who reads the answer may not see.
        """
        known = [each for each in self._questions.values() if each.ids == pieces.rest[: len(each.ids)]]
        question = max(known, key=lambda each: len(each.ids), default=None)
        if question is None or question.tail is None or not question.ids:
            return None
        sources: Sequence[Stretch | Segment] | None = None
        if self.same(pieces):
            sources = [self._stretch(0, len(pieces.shared))]
        elif cut:
            sources = self._left(pieces)
        if sources is None:
            return None
        behind = pieces.rest[len(question.ids) :]
        tail = Stretch(question.tail, 0, len(question.ids), question.ids)
        return [*sources, tail, *([Segment(behind, cached=False)] if behind else [])]

    def apart(self, pieces: Pieces, *, mine: bool) -> str:
        """Why the sources cannot be taken from here as they stand; `mine` as `cut` needs it: read for who asks."""
        if self.pieces.prefix != pieces.prefix:
            return "other instructions"
        before, now = ([(segment.ids, segment.access) for segment in each.passages] for each in (self.pieces, pieces))
        if not set(now) <= set(before):
            return "other sources"
        if len(now) == len(before) and not self._is_cut(pieces):
            return "another order of sources"
        if not self._open_to(pieces):
            return "sources left out that others may see"
        return "sources left out" if mine else "sources left out, looked at elsewhere"

    def _open_to(self, pieces: Pieces) -> bool:
        """Whether who may see those sources may see all of these: each access list here is one of theirs."""
        lists, theirs = ({segment.access for segment in each.passages} for each in (self.pieces, pieces))
        return lists - {""} <= theirs

    def _is_cut(self, pieces: Pieces) -> bool:
        return any(segment.keep is not None for segment in pieces.passages)

    def _left(self, pieces: Pieces) -> list[Stretch | Segment] | None:
        """The sources of a prompt that has parts of this one's, and lines between them that are computed."""
        if pieces.prefix != self.pieces.prefix or not self._open_to(pieces):
            return None
        parts: list[Stretch | Segment] = [self._stretch(0, len(pieces.prefix))]
        places = self._places()
        for segment in pieces.segments:
            if not segment.cached:
                parts.append(segment)
                continue
            held = places.get((segment.ids, segment.access), ())
            for start, end in segment.ranges:
                row = next((row + start - low for (low, high), row in held if low <= start and end <= high), None)
                if row is None:
                    return None
                parts.append(self._stretch(row, row + end - start))
        return parts

    def _places(self) -> dict[tuple[tuple[int, ...], str], list[tuple[TokenRange, int]]]:
        """For each passage, with who may see it: the ranges of its tokens that stand in the prompt, and their rows."""
        found: dict[tuple[tuple[int, ...], str], list[tuple[TokenRange, int]]] = {}
        row = len(self.pieces.prefix)
        for segment in self.pieces.segments:
            for start, end in segment.ranges:
                if segment.cached:
                    found.setdefault((segment.ids, segment.access), []).append(((start, end), row))
                row += end - start
        return found

    def _stretch(self, start: int, end: int) -> Stretch:
        return Stretch(self.prefilled.splice.view(), start, end, self.prefilled.ids[start:end])
