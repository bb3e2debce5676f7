"""From the tokens of a reply to its text, as it grows: whole characters, and never a part of a stop string."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rag.types import Token

_BROKEN = "\ufffd"
_CONTEXT = 6


class Detokeniser:
    """Texts of tokens one after the other; joined, they are what all tokens decode to together.

    A token may be a part of a character: its text is then empty, and the token that completes the character has it.

    Args:
        decode: tokens to text.
        prompt: the tokens in front of the reply, of which the last decide whether it starts with a space.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self.decode = decode
        self._ids = list(prompt[-_CONTEXT:])
        self._start = 0  # the tokens from here are decoded: those before `_done` only for the space between words
        self._done = len(self._ids)

    def take(self, token: int) -> str:
        """The text that `token` completes."""
        self._ids.append(token)
        known, text = self._known(), self.decode(self._ids[self._start :])
        if len(text) <= len(known) or text.endswith(_BROKEN):
            return ""
        self._start, self._done = self._done, len(self._ids)
        return text[len(known) :]

    def end(self) -> str:
        """What is left: the mark of a broken character, where the reply ends within one."""
        return self.decode(self._ids[self._start :])[len(self._known()) :]

    def _known(self) -> str:
        return self.decode(self._ids[self._start : self._done])


class StopStrings:
    """Holds tokens back while their text may still become a stop string; `found` once one has."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = tuple(filter(None, stops))
        self.found = False
        self._held: deque[Token] = deque()

    def take(self, token: Token) -> Iterator[Token]:
        """The tokens that can be given out by now."""
        self._held.append(token)
        text = "".join(held.text for held in self._held)
        at = min((place for stop in self.stops if (place := text.find(stop)) >= 0), default=None)
        if at is not None:
            self.found = True
            yield from self._until(at, cut=True)
            self._held.clear()
            return
        yield from self._until(len(text) - self._threatening(text), cut=False)

    def end(self) -> Iterator[Token]:
        """What was held back and did not become a stop string."""
        yield from self._held
        self._held.clear()

    def _until(self, end: int, *, cut: bool) -> Iterator[Token]:
        """Tokens whose text ends before `end`, and with `cut` the front part of the one that reaches over it."""
        while self._held and len(self._held[0].text) <= end:
            token = self._held.popleft()
            end -= len(token.text)
            yield token
        if cut and end > 0:
            yield replace(self._held[0], text=self._held[0].text[:end])

    def _threatening(self, text: str) -> int:
        """How much of the end of `text` could be the start of a stop string."""
        return max(
            (
                size
                for stop in self.stops
                for size in range(1, min(len(stop), len(text) + 1))
                if text.endswith(stop[:size])
            ),
            default=0,
        )
