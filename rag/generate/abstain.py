"""Saying that the sources do not answer."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rag.models.passages import NO_ANSWER

Reason: TypeAlias = Literal["no-evidence", "weak-evidence", "not-in-sources", "empty-reply"]
"""Why there is no answer: nothing was found, it is too far from the question, a model read it and says so, or a model
wrote nothing."""

SENTENCE = "The sources do not answer this question."


def opens_with_mark(text: str) -> bool | None:
    """Whether a reply that begins with `text` is the mark; ``None`` while that cannot be told yet."""
    opening = text.lstrip(" \t\r\n\"'`*").upper()
    if opening.startswith(NO_ANSWER):
        return True
    return None if NO_ANSWER.startswith(opening) else False
