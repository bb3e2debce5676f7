"""Small to big: what a hit is part of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.expand.specs import ParentKind
from rag.expand.stretch import Range, sentences_around, widened
from rag.types import Chunk, Document, Query, Ranking

if TYPE_CHECKING:
    from rag.resources import Resources

_PAGES = ("page", "slide", "sheet", "chapter")


class ParentExpander:
    """Widens each chunk to the section or the page it is in, as far as `tokens` of the embedder go.

    A section is the text from the nearest heading above to the next of its level or a higher one. Where the parent is
    longer, whole sentences are added in turn after and before the chunk until the next on either side does not fit;
    where there is no such parent, so it is within the whole document. Stretches that overlap become one and may then be
    longer than `tokens`; a chunk that is longer by itself stays as it is.
    """

    def __init__(self, resources: Resources, *, kind: ParentKind = "section", tokens: int = 800) -> None:
        self.resources = resources
        self.kind = kind
        self.tokens = tokens

    def expand(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        if not any(rankings):
            return [Ranking() for _ in rankings]
        reader = self.resources.index.reader()
        return [widened(ranking, reader, self._widen) for ranking in rankings]

    def _widen(self, document: Document, chunk: Chunk) -> Range:
        start, end = parent(document, chunk.span.start, chunk.span.end, kind=self.kind)
        return self._grown(document.text, chunk, start, end)

    def _grown(self, text: str, chunk: Chunk, lowest: int, highest: int) -> Range:
        """The chunk and the sentences around it within ``[lowest, highest)``, `tokens` long at most."""
        start, end = chunk.span.start, chunk.span.end
        reach = 8 * self.tokens  # code points; doubled until either side has enough
        while True:
            around = sentences_around(text, start, end, reach=reach)
            before = [one for one in around if max(lowest, start - reach) <= one[0] and one[1] <= start]
            after = [one for one in around if end <= one[0] and one[1] <= min(highest, end + reach)]
            inside = [one for one in around if one[0] < end and start < one[1]]
            core = min([start, *(one[0] for one in inside)]), max([end, *(one[1] for one in inside)])
            costs_after, costs_before = self._counts(text, after), self._counts(text, before[::-1])
            enough_after = sum(costs_after) >= self.tokens or end + reach >= highest
            enough_before = sum(costs_before) >= self.tokens or start - reach <= lowest
            if enough_after and enough_before:
                break
            reach *= 2
        left = self.tokens - self._counts(text, [core])[0]
        if left < 0:
            return start, end
        taken_after, taken_before = in_turn(costs_after, costs_before, room=left)
        first = before[-taken_before][0] if taken_before else core[0]
        last = after[taken_after - 1][1] if taken_after else core[1]
        return first, last

    def _counts(self, text: str, ranges: Sequence[Range]) -> list[int]:
        return self.resources.embedder.tokenizer.count([text[start:end] for start, end in ranges])


def parent(document: Document, start: int, end: int, *, kind: ParentKind) -> Range:
    """The section, or the pages (slides, sheets, chapters), around ``[start, end)``; the document where it has none."""
    parts = document.layout.parts
    if kind == "section":
        above = [part for part in parts if part.kind == "heading" and part.start <= start]
        if above:
            nearest = max(above, key=lambda part: part.start)
            below = [
                part.start
                for part in parts
                if part.kind == "heading" and part.start > nearest.start and part.level <= nearest.level
            ]
            return nearest.start, min(below, default=len(document.text))
    if kind in ("section", "page"):
        pages = [part for part in parts if part.kind in _PAGES and part.start < end and start < part.end]
        if pages:
            return min(part.start for part in pages), max(part.end for part in pages)
    return 0, len(document.text)


def in_turn(one: Sequence[int], other: Sequence[int], *, room: int) -> tuple[int, int]:
    """How many of each list, from its front, fit into `room` when they are taken in turn.

    >>> in_turn([5, 5, 5], [2, 2], room=10)
    (1, 2)
    """
    taken = [0, 0]
    lists = (one, other)
    open_ = [0, 1]
    while open_:
        for which in tuple(open_):
            at = taken[which]
            if at < len(lists[which]) and lists[which][at] <= room:
                room -= lists[which][at]
                taken[which] += 1
            else:
                open_.remove(which)
    return taken[0], taken[1]
