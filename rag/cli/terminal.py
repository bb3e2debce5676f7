"""Text from documents and models, made unable to command a terminal."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

T = TypeVar("T")

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "�")
_DIRECTION = dict.fromkeys((*range(8234, 8239), *range(8294, 8298)), "�")
_HARMLESS = {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): " "}
_TABLE = str.maketrans(_CONTROL | _DIRECTION | _HARMLESS)


def plain(text: str) -> str:
    """The text with ``�`` for each control character and each one that turns the direction of writing.

    An escape sequence in a document could otherwise hide or forge lines, and in some terminals do worse. As long as
    the text was, so that offsets hold; line feeds and tabs stay, a carriage return becomes a space.

    >>> plain("Dogs\\x1b[2K bark.")
    'Dogs�[2K bark.'
    """
    return text.translate(_TABLE)


def plain_values(value: T) -> T:
    """The same for every text in a value made of dataclasses, tuples, lists and mappings."""
    if isinstance(value, str):
        return plain(value)  # type: ignore[return-value]  # a T that is a str
    if isinstance(value, (tuple, list)):
        return type(value)(plain_values(each) for each in value)
    if isinstance(value, dict):
        return {plain_values(key): plain_values(each) for key, each in value.items()}  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: plain_values(getattr(value, each.name)) for each in fields(value)})
    return value
