"""What a tokenizer obeys: its special tokens, which a chat format sets, and no text between them may."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag.models.llm import Message


class Marks:
    """The special tokens of one tokenizer, by what they are written as.

    `rag.models.template.as_data` knows the marks of common chat formats; this knows those of the model at hand.
    """

    def __init__(self, contents: Iterable[str]) -> None:
        written = sorted({content.strip() for content in contents} - {""}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, written)), re.IGNORECASE) if written else None

    @classmethod
    def of(cls, tokenizer: object) -> Marks:
        """Of a Hugging Face tokenizer, fast or slow; none of one that does not say."""
        added = getattr(tokenizer, "added_tokens_decoder", {})
        return cls([token.content for token in added.values() if token.special])

    def plain(self, text: str) -> str:
        """The text with the first character of each mark replaced by ``‹``: no token but those of text, same offsets.

        >>> Marks(["<eos>", "<|end|>"]).plain("a <eos> < b <p> <|END|>")
        'a ‹eos> < b <p> ‹|END|>'
        """
        return text if self._pattern is None else self._pattern.sub(lambda found: f"‹{found[0][1:]}", text)

    def without(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, with no mark in what they say."""
        plain = [self.plain(message.content) for message in messages]
        return [
            message if text is message.content else replace(message, content=text)
            for message, text in zip(messages, plain, strict=True)
        ]
