"""Which piece of a streamed reply each of its tokens wrote."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rag.types import Token


class Aligner:
    """Pairs the text that an engine hands out with the tokens it lists beside it.

    The two run apart: text waits until a character is whole, and where stop strings are set until it cannot become one.
    The texts of the tokens given out, joined, are always the text taken in. A token that wrote only a part of a
    character may have an empty text; tokens whose text never came, as the end mark's or what a stop string cut off,
    are left out.
    """

    def __init__(self) -> None:
        self._waiting: deque[Token] = deque()
        self._text = ""

    def take(self, text: str, tokens: Iterable[Token]) -> Iterator[Token]:
        """The tokens whose text has come by now; those of `tokens` carry what each decodes to on its own."""
        self._text += text
        self._waiting += tokens
        while self._waiting:
            length = self._length()
            if length is None:
                return
            yield self._give(length)
        yield from self._rest()

    def end(self) -> Iterator[Token]:
        """What is left when the reply is over."""
        if self._waiting and self._text:
            yield self._give(len(self._text))
        self._waiting.clear()
        yield from self._rest()

    def _length(self) -> int | None:
        """How much of the text the first waiting token wrote; ``None`` while its text is still to come."""
        expected = self._waiting[0].text
        if self._text.startswith(expected):
            return len(expected)
        if expected.startswith(self._text):
            return None
        # Decoded on its own a token may look different: without the space before it, or with half a character. It
        # wrote what stands before the next token's text.
        for other in list(self._waiting)[1:]:
            at = self._text.find(other.text) if other.text else -1
            if at >= 0:
                return at
        return len(self._text)

    def _give(self, length: int) -> Token:
        token = replace(self._waiting.popleft(), text=self._text[:length])
        self._text = self._text[length:]
        return token

    def _rest(self) -> Iterator[Token]:
        if self._text:
            yield Token(self._text)
            self._text = ""
