"""How long a text is in the tokens of a model whose tokenizer is not at hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.models.llm import Message

MESSAGE_TOKENS = 4
"""What a chat format spends on the frame of one message."""


def estimated_tokens(text: str) -> int:
    """An estimate on the safe side: four ASCII characters a token, two of other alphabets, one of CJK and symbols."""
    if text.isascii():
        return math.ceil(len(text) / 4)
    ascii_characters = wide = 0
    for character in text:
        code = ord(character)
        ascii_characters += code < 0x80
        wide += code >= 0x2000
    other = len(text) - ascii_characters - wide
    return math.ceil(ascii_characters / 4 + other / 2 + wide)


def message_tokens(messages: Sequence[Message], count: Callable[[str], int] = estimated_tokens) -> int:
    """How many tokens the messages of a chat have as `count` counts, their frames included."""
    return sum(MESSAGE_TOKENS + count(message.content) for message in messages)
