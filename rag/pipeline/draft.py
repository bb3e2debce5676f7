"""An answer while it is written: what is accepted of it, and what may still be taken back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.text.markers import MARKER, unmarked
from rag.text.sentences import sentences
from rag.types import Token

_OPEN_MARKER = re.compile(r"[\[［【][\s\d,;，、–—-]*\Z")
_AHEAD = 24  # code points after which the next sentence has surely begun, also where words are not spaced


@dataclass(slots=True)
class Draft:
    """Text that grows at its end. `accepted` stands; `pending` holds the tokens after it."""

    accepted: str = ""
    pending: list[Token] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.accepted + "".join(token.text for token in self.pending)

    def add(self, token: Token) -> Token:
        """Append a token; what it became: one that begins a word behind the end of a sentence gets a space before it.

        A model that continues a draft often begins with the bare word.
        """
        text = self.text
        glued = text[-1:] and not text[-1].isspace() and not self.pending and _begins_word(token.text)
        if glued:
            token = replace(token, text=" " + token.text)
        self.pending.append(token)
        return token

    def closed(self, *, final: bool = False) -> tuple[Token, ...]:
        """The tokens of the first pending sentence if its end is certain, else none.

        Citation markers behind its full stop belong to it. Its end is certain once the next word is there, or if the
        text is `final`.
        """
        text = "".join(token.text for token in self.pending)
        end = _first_end(text, final=final)
        return () if end is None else tuple(_cut(self.pending, end))

    def accept(self, sentence: Sequence[Token]) -> None:
        """Let the first pending sentence stand."""
        length = sum(len(token.text) for token in sentence)
        text = "".join(token.text for token in self.pending)
        self.accepted += text[:length]
        self.pending = _after(self.pending, length)

    def keep(self, length: int) -> None:
        """Cut to the first `length` characters, which stand."""
        self.accepted = self.text[:length]
        self.pending = []


def _begins_word(text: str) -> bool:
    # Scripts from the CJK blocks on are written without spaces.
    return text[:1].isalnum() and text[0] < "\u2e80"


def _first_end(text: str, *, final: bool) -> int | None:
    blanked = unmarked(text)
    if not final:
        blanked = _OPEN_MARKER.sub("", blanked)
    spans = sentences(blanked)
    if not spans:
        return None
    if len(spans) == 1:
        return len(text) if final else None
    (_, end), (following, _) = spans[:2]
    rest = blanked[following:]
    if not (final or len(spans) > 2 or len(rest) > _AHEAD or any(character.isspace() for character in rest)):
        return None
    # A marker that opens a line belongs to the sentence after it.
    behind = [
        marker.end() for marker in MARKER.finditer(text, end, following) if "\n" not in text[end : marker.start()]
    ]
    return max(behind, default=end)


def _cut(tokens: Sequence[Token], length: int) -> list[Token]:
    """The tokens of the first `length` characters, the last one cut to fit."""
    found: list[Token] = []
    for token in tokens:
        if length <= 0:
            break
        found.append(replace(token, text=token.text[:length]))
        length -= len(token.text)
    return found


def _after(tokens: Sequence[Token], length: int) -> list[Token]:
    """The tokens behind the first `length` characters, the first one cut to fit."""
    found: list[Token] = []
    for token in tokens:
        if length < len(token.text):
            found.append(replace(token, text=token.text[max(0, length) :]))
        length -= len(token.text)
    return found
