"""Citations as events, while the answer is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.cite.base import StreamingCiter
from rag.events import Answered, Cited, Compressed, Event, Retracted, Wrote
from rag.types import Evidence

if TYPE_CHECKING:
    from rag.cite.base import Citer

_CLOSING = ("]", "］", "】")


@dataclass(slots=True)
class _Writing:
    """An answer so far, and the citations that were given; `open` while there may be markers of others in it."""

    text: str = ""
    open: bool = False
    evidence: tuple[Evidence, ...] = ()
    cited: list[Cited] = field(default_factory=list)


def with_citations(
    events: Iterable[Event], citer: Citer, given: Callable[[int], Collection[int] | None]
) -> Iterator[Event]:
    """The events, and a `Cited` for each citation: as soon as it is certain, at the latest before `Answered`.

    Those that were not retracted are the citations of the answer, in their order. From a citer that cannot tell what
    is certain they come at the end.

    Args:
        given: by a question's position in the batch, the numbers of the evidence its generator sees; ``None``: all.
    """
    writings: dict[int, _Writing] = {}
    for event in events:
        writing = writings.setdefault(event.at, _Writing())
        if isinstance(event, Answered):
            done = len(writing.cited)
            yield from (Cited(event.at, each, len(writing.text)) for each in event.answer.citations[done:])
            del writings[event.at]
        yield event
        if isinstance(event, Compressed):
            writing.evidence = event.evidence
        elif isinstance(event, Retracted):
            writing.text = writing.text[: event.keep]
            writing.cited = [each for each in writing.cited if each.written <= event.keep]
            writing.open = True
        elif isinstance(event, Wrote):
            writing.text += event.text
            if isinstance(citer, StreamingCiter):
                yield from _closed(event, writing, citer, given(event.at))


def _closed(event: Wrote, writing: _Writing, citer: StreamingCiter, given: Collection[int] | None) -> Iterator[Cited]:
    """The citations that the last piece of text made certain: only the end of a word behind a marker can do that."""
    writing.open |= any(closing in event.text for closing in _CLOSING)
    if not writing.open or not any(character.isspace() for character in event.text):
        return
    numbers = range(1, len(writing.evidence) + 1) if given is None else given
    end = citer.certain(writing.text, numbers)
    if end <= (writing.cited[-1].citation.end if writing.cited else 0):
        return
    found = citer.cite(writing.text, writing.evidence, given=numbers).citations
    for citation in found[len(writing.cited) :]:
        if citation.end > end:
            return
        cited = Cited(event.at, citation, len(writing.text))
        writing.cited.append(cited)
        yield cited
    writing.open = False
