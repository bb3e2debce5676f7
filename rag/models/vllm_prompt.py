"""From a chat to the token ids of a model's own format."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from rag.models.llm import Message
from rag.models.marks import Marks

if TYPE_CHECKING:
    import tokenizers

REMEMBERED = 64
"""Beginnings of prompts; a pipeline has as many as prompt templates."""


class ChatTokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        chat_template: str | None,
        tokenize: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
    ) -> str: ...


class ChatEncoder:
    """Token ids of texts and of chats. May be used from many threads.

    What the system says, which a template holds and every question repeats, is tokenised once. That gives the same
    ids: a tokenizer cuts a text at its special tokens before anything else, so a prompt may be cut before one that
    does not look at what stands around it.

    Special tokens are those of the chat format alone: as text in a message they are text.

    Args:
        chat_template: a Jinja template to use instead of the tokenizer's own.
    """

    def __init__(self, tokenizer: ChatTokenizer, *, chat_template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.chat_template = chat_template
        self.marks = Marks.of(tokenizer)
        self._fast: tokenizers.Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
        self._border = None if self._fast is None else _border(self._fast)
        self._begun: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = Lock()

    def count(self, text: str) -> int:
        """How many tokens a text has in a message."""
        return len(self.encode(self.marks.plain(text)))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, in which special tokens are read as such."""
        if self._fast is not None:  # a third of the time: no state, and no offsets
            return list(self._fast.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        with self._lock:  # encoding sets the tokenizer's state
            return self.tokenizer.encode(text, add_special_tokens=False)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a chat; a last message of the assistant is left open.

        Raises:
            ValueError: the model has no chat format, or it refuses these messages.
        """
        messages = self.marks.without(messages)
        drafted = bool(messages) and messages[-1].role == "assistant"
        text = self.tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=not drafted,
            continue_final_message=drafted,
        )
        cut = self._end_of_first(text, messages)
        return [*self._beginning(text[:cut]), *self.encode(text[cut:])] if cut else self.encode(text)

    def _end_of_first(self, text: str, messages: Sequence[Message]) -> int:
        """Where the special token behind the system's message begins; 0: nowhere."""
        if self._border is None or not messages or messages[0].role != "system":
            return 0
        content = messages[0].content.strip()
        at = text.find(content)
        behind = self._border.search(text, at + len(content)) if at >= 0 else None
        return behind.start() if behind else 0

    def _beginning(self, text: str) -> list[int]:
        with self._lock:
            known = self._begun.get(text)
            if known is not None:
                self._begun.move_to_end(text)
                return known
        ids = self.encode(text)
        with self._lock:
            self._begun[text] = ids
            if len(self._begun) > REMEMBERED:
                self._begun.popitem(last=False)
        return ids


def _border(tokenizer: tokenizers.Tokenizer) -> re.Pattern[str] | None:
    """The special tokens before which a text may be cut: those found in the text as it is, wherever they stand."""
    marks = [
        token.content
        for token in tokenizer.get_added_tokens_decoder().values()
        if token.special and not (token.normalized or token.lstrip or token.single_word)
    ]
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True)))) if marks else None
