"""A question that asks several things, taken apart by rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.query.base import Rewritten
from rag.types import Query

FEWEST_WORDS = 3
"""A shorter piece is no question."""

_STARTS = (
    "what when where which who whom whose why how is are was were does do did can could will would has have had should"
)
_AND = re.compile(rf",?\s+(?:and|but)\s+(?=(?:{'|'.join(_STARTS.split())})\b)", re.IGNORECASE)
_MARK = re.compile(r"(?<=[?？؟\u037e])\s*")


class Split:
    """The question, then its pieces: cut after question marks, and before "and" where another question word follows.

    English alone has the second rule. A question in one piece is left as it is. This is the part of decomposition that
    needs no model; it does not see that one piece stands on the answer of another.
    """

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        made: list[Rewritten] = []
        for query in queries:
            found = pieces(query.text)
            others = found if len(found) > 1 else []
            made.append(Rewritten((query, *(query.rephrased(piece) for piece in others)), {"pieces": len(found)}))
        return made


def pieces(question: str) -> list[str]:
    """The questions that stand in one text, in their order.

    >>> pieces("Who wrote Faust and when was it printed? Where?")
    ['Who wrote Faust', 'when was it printed? Where?']
    """
    found: list[str] = []
    for part in (part for marked in _MARK.split(question) for part in _AND.split(marked)):
        if found and len(part.split()) < FEWEST_WORDS and not _unspaced(part):
            found[-1] = f"{found[-1]} {part}".rstrip()
        elif part.strip():
            found.append(part.strip())
    return found


def _unspaced(part: str) -> bool:
    """Whether the text is of a script that writes several words without a space."""
    return len(part) > FEWEST_WORDS and any(ord(character) >= 0x2E80 for character in part)
