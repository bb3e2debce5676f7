"""From the messages of a chat to the tokens a model reads, with the places of what stands in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rag.errors import ModelError
from rag.models.llm import Message
from rag.models.marks import Marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ChatText:
    """Messages in a model's format; `passages` are ranges of `text`, each with who may see it in `access`.

    `shifts` has for each message what to add to a place in its content to have the place in `text`; ``None`` where the
    format has rewritten the content. `marked`: the tokenizer is to add its own marks, as to a text without chat format.
    """

    text: str
    passages: tuple[Range, ...]
    access: tuple[str, ...]
    shifts: tuple[int | None, ...]
    marked: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens and the code-point range of each; a mark has an empty one."""

    ids: tuple[int, ...]
    offsets: tuple[Range, ...]

    def within(self, start: int, end: int) -> Range:
        """The half-open range of the tokens that have a part of the text's [start, end)."""
        found = [at for at, (low, high) in enumerate(self.offsets) if low < end and high > start and low < high]
        return (found[0], found[-1] + 1) if found else (0, 0)


class Chat:
    """A tokenizer and its chat format. May be used from many threads.

    A model without a chat format, a base model, reads the messages as one text with blank lines between them.
    """

    def __init__(self, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self._lock = threading.Lock()

    def text(self, messages: Sequence[Message]) -> ChatText:
        """The messages as the model is to read them; a last message of the assistant is left open.

        A format that knows no system messages gets them at the head of the first user message. Special tokens are
        those of the format alone: as text in a message they are text.

        Raises:
            ModelError: the format refuses the messages.
        """
        messages = self.marks.without(messages)
        if self.tokenizer.chat_template is None:
            text = "\n\n".join(message.content for message in messages)
            if messages and messages[-1].role != "assistant":
                text += "\n\n"
            return _placed(text, messages, marked=True)
        from jinja2.exceptions import TemplateError

        try:
            return _placed(self._formatted(messages), messages, marked=False)
        except (TemplateError, ValueError) as error:
            folded = _folded(messages)
            if folded is None:
                raise self._refused(error) from error
            try:
                return _placed(self._formatted(folded), folded, marked=False)
            except (TemplateError, ValueError) as again:
                raise self._refused(again) from again

    def encode(self, text: str, *, marked: bool) -> Encoded:
        """The tokens of a text.

        Raises:
            ModelError: the tokenizer does not say where its tokens stand.
        """
        if not self.tokenizer.is_fast:
            raise ModelError(f"the tokenizer of {self.name!r} does not say where its tokens stand: a fast one does")
        with self._lock:  # a call sets the tokenizer's state
            found = self.tokenizer(text, add_special_tokens=marked, return_offsets_mapping=True, verbose=False)
        offsets = tuple((int(start), int(end)) for start, end in found["offset_mapping"])
        return Encoded(tuple(found["input_ids"]), offsets)

    def ids(self, text: str, *, marked: bool = False) -> tuple[int, ...]:
        """The tokens of a text, without their places."""
        with self._lock:
            return tuple(self.tokenizer(text, add_special_tokens=marked, verbose=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without marks."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def count(self, text: str) -> int:
        """How many tokens a text has in a message."""
        return len(self.ids(self.marks.plain(text)))

    @cached_property
    def marks(self) -> Marks:
        return Marks.of(self.tokenizer)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """What each token decodes to on its own."""
        return tuple(self.decode([token]) for token in range(len(self.tokenizer)))

    def _formatted(self, messages: Sequence[Message]) -> str:
        drafted = bool(messages) and messages[-1].role == "assistant"
        return str(
            self.tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                tokenize=False,
                add_generation_prompt=not drafted,
                continue_final_message=drafted,
            )
        )

    def _refused(self, error: Exception) -> ModelError:
        return ModelError(f"the chat format of {self.name!r} refuses the messages: {error}")


def _folded(messages: Sequence[Message]) -> list[Message] | None:
    """The messages with the system's at the head of the user's first; ``None`` where there is no such pair."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    system, user = messages[0], messages[1]
    head = f"{system.content}\n\n"
    moved = tuple((start + len(head), end + len(head)) for start, end in user.passages)
    folded = replace(
        user,
        content=head + user.content,
        passages=(*system.passages, *moved),
        access=(*_access(system), *_access(user)),
    )
    return [folded, *messages[2:]]


def _access(message: Message) -> tuple[str, ...]:
    """Of each of its passages."""
    return message.access or ("",) * len(message.passages)


def _placed(text: str, messages: Sequence[Message], *, marked: bool) -> ChatText:
    """`text` with the places of contents and passages in it; of a message that the format rewrites they are unknown."""
    passages: list[Range] = []
    access: list[str] = []
    shifts: list[int | None] = []
    at = 0
    for message in messages:
        content, cut = message.content, 0
        if content not in text[at:]:  # many formats trim contents
            content, cut = content.strip(), len(content) - len(content.lstrip())
        start = text.find(content, at)
        if start < 0:
            shifts.append(None)
            continue
        for (low, high), who in zip(message.passages, _access(message), strict=True):
            first, last = max(0, low - cut), min(len(content), high - cut)
            if first < last:
                passages.append((start + first, start + last))
                access.append(who)
        at = start + len(content)
        shifts.append(start - cut)
    return ChatText(text, tuple(passages), tuple(access), tuple(shifts), marked)
