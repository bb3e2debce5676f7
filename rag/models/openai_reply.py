"""What an OpenAI-compatible server sends back, read piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rag.models.choices import listed_tokens
from rag.models.llm import Json
from rag.types import Token, Usage


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk of a stream adds, or a whole unstreamed reply: text, and the tokens listed beside it."""

    text: str = ""
    tokens: tuple[Token, ...] = ()


class ReplyReader:
    """What has come of one reply so far; `refused` is what some servers say in a field of its own instead of it."""

    def __init__(self) -> None:
        self.text = ""
        self.refused = ""
        self.finished = False
        self.stopped_by = ""
        self.usage: Usage | None = None

    def take(self, chunk: Mapping[str, Json]) -> Piece:
        """Note one chunk, and give what it adds."""
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = _usage(usage) or self.usage
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return Piece()
        choice = choices[0]
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self.finished, self.stopped_by = True, reason
        part = choice.get("delta") or choice.get("message")
        text, refused = (part.get("content"), part.get("refusal")) if isinstance(part, dict) else (None, None)
        text = text if isinstance(text, str) else ""
        self.text += text
        self.refused += refused if isinstance(refused, str) else ""
        return Piece(text, tuple(listed_tokens(choice)))


def _usage(counts: Mapping[str, Json]) -> Usage | None:
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    details = counts.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(prompt, completion, 1, cached_tokens=cached if isinstance(cached, int) else 0)
