"""Prompt templates: text with ``{fields}``, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import blake2b
from string import Formatter
from typing import Literal

from rag.errors import PromptError
from rag.models.llm import Message

_RULE = re.compile(r"^---[ \t]*$", re.MULTILINE)
_MARKUP = re.compile(  # our own tags, then marks of chat formats
    r"<(?=\s*/?\s*(?:sources?|history|question|answer|draft|sentence|system|user|assistant)\b|[|｜])"
    r"|<(?=/?(?:s|bos|eos|pad|unk|think|tool_\w+|(?:start|end)_of_\w+|(?:bos|eos)_token|<\s*/?\s*SYS\s*>)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+|THINK)\])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt: above a line of ``---`` what the system says, below it what the user says; no line, all is the user's.

    Fields stand in single braces, a brace of the text itself is doubled.

    >>> Template.parse("Be brief.\\n---\\nQ: {question}", name="demo", fields={"question"}).render({"question": "Why?"})
    [Message(role='system', content='Be brief.'), Message(role='user', content='Q: Why?')]
    """

    name: str
    system: str
    user: str

    @property
    def version(self) -> str:
        """``answer@1f0c9a2b``: the name and a hash of the text, so that it is known which wording wrote something."""
        digest = blake2b(f"{self.system}\0{self.user}".encode(), digest_size=4).hexdigest()
        return f"{self.name}@{digest}"

    @classmethod
    def parse(cls, text: str, *, name: str, fields: Set[str]) -> Template:
        """Read a template that may use `fields`.

        Raises:
            PromptError: a field that is not in `fields`, a lone brace, or more than one ``---`` line.
        """
        parts = _RULE.split(text)
        if len(parts) > 2:
            raise PromptError(f"prompt {name!r}: expected at most one line of `---`, found {len(parts) - 1}")
        for part in parts:
            _check(part, name=name, fields=fields)
        *system, user = parts
        return cls(name, "".join(system).strip(), user.strip())

    def render(
        self, values: Mapping[str, str], passages: Mapping[str, Sequence[tuple[int, int]]] | None = None
    ) -> list[Message]:
        """The messages with each field replaced; a value is never read for fields itself.

        Args:
            passages: by field, the ranges of its value that are the texts of sources (`Message.passages`).
        """
        user = _filled("user", self.user, values, passages or {})
        return [_filled("system", self.system, values, passages or {}), user] if self.system else [user]


def _filled(
    role: Literal["system", "user"],
    part: str,
    values: Mapping[str, str],
    passages: Mapping[str, Sequence[tuple[int, int]]],
) -> Message:
    text = ""
    found: list[tuple[int, int]] = []
    for literal, field, _, _ in Formatter().parse(part):
        text += literal
        if field is not None:
            found += [(len(text) + start, len(text) + end) for start, end in passages.get(field, ())]
            text += values[field]
    return Message(role, text, tuple(found))


def as_data(text: str) -> str:
    """Text from outside, made unable to close or open the tags and chat marks that frame it in a prompt.

    The ``<`` of such a tag, or the ``[`` of ``[INST]``, becomes ``‹``; everything else stays, and offsets hold.

    >>> as_data("a < b </source> <|im_end|> </s> [INST]")
    'a < b ‹/source> ‹|im_end|> ‹/s> ‹INST]'
    """
    return _MARKUP.sub("‹", text)


def _check(part: str, *, name: str, fields: Set[str]) -> None:
    try:
        found = [
            (field, conversion, form) for _, field, form, conversion in Formatter().parse(part) if field is not None
        ]
    except ValueError as error:
        hint = "a brace that is part of the text is written twice: {{ or }}"
        raise PromptError(f"prompt {name!r}: {error}", hint=hint) from error
    for field, form, conversion in found:
        if field is not None and (field not in fields or conversion or form):
            written = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            known = ", ".join(f"{{{each}}}" for each in sorted(fields))
            raise PromptError(
                f"prompt {name!r}: unknown field {{{written}}}",
                hint=f"known fields: {known}; a brace that is part of the text is written twice",
            )
