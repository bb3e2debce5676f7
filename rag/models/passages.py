"""How the texts of sources stand in a prompt: numbered, framed, declared as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rag.models.template import as_data
from rag.types import Chunk

SEPARATOR = "\n"

NO_ANSWER = "NOT_IN_SOURCES"
"""What a model is told to reply, alone, when the sources do not contain the answer."""


@dataclass(frozen=True, slots=True)
class Block:
    """One source in its frame; ``text[start:end]`` is what the source says, made unable to close the frame."""

    text: str
    start: int
    end: int

    @staticmethod
    def of(number: int, text: str, *, named: str = "") -> Block:
        """The source under a number, with where it comes from.

        >>> Block.of(2, "Dogs bark.", named="a.md").text
        '<source id="2" from="a.md">\\nDogs bark.\\n</source>'
        """
        where = " ".join(as_data(named).replace('"', "'").replace("<", "‹").replace(">", "›").split())
        head = f'<source id="{number}" from="{where}">\n' if where else f'<source id="{number}">\n'
        body = as_data(text)
        return Block(f"{head}{body}\n</source>", len(head), len(head) + len(body))


def joined(blocks: Sequence[Block]) -> tuple[str, list[tuple[int, int]]]:
    """The blocks one under the other, and the range of each source's text in the whole."""
    ranges: list[tuple[int, int]] = []
    at = 0
    for block in blocks:
        ranges.append((at + block.start, at + block.end))
        at += len(block.text) + len(SEPARATOR)
    return SEPARATOR.join(block.text for block in blocks), ranges


def canonical(chunks: Sequence[Chunk]) -> list[int]:
    """The positions of `chunks` by document and place in it: the same chunks stand alike whatever ranked them.

    So stages that show the same chunks to one model show it the same prompt, which it then reads once.
    """
    return sorted(range(len(chunks)), key=lambda at: chunks[at].span)


def access_key(access: Sequence[str] | None) -> str:
    """The same for the same access list in any order; empty where none was set, which is not an empty list.

    >>> access_key(["b", "a"]), access_key([]), access_key(None)
    ('["a", "b"]', '[]', '')
    """
    return "" if access is None else json.dumps(sorted(set(access)))


def access_keys(lists: Sequence[Sequence[str] | None]) -> tuple[str, ...]:
    """One for each passage; nothing where no list is set at all."""
    keys = tuple(access_key(access) for access in lists)
    return keys if any(keys) else ()


def earlier_turns(turns: Sequence[tuple[str, str]]) -> str:
    """Earlier questions and answers of a conversation, in their frame; nothing where there are none."""
    if not turns:
        return ""
    lines = [f"Question: {as_data(question)}\nAnswer: {as_data(answer)}" for question, answer in turns]
    return "<history>\n" + "\n\n".join(lines) + "\n</history>"
