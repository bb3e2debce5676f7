"""Text from documents and models, made unable to command a terminal, and printable on any."""

from __future__ import annotations

import codecs
import io
import os
import sys
from dataclasses import fields, is_dataclass, replace
from typing import TextIO, TypeVar

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


def open_closed_streams() -> None:
    """Have the standard streams that whoever started this closed lead nowhere; an index must not get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, open as long as the process


def escape_unprintable(stream: TextIO) -> None:
    """Have `stream` write what its encoding lacks as ``\\u2026``, and lone surrogates too, such as of a file's name.

    That is how JSON escapes, so that ``--json`` stays JSON whatever the locale.
    """
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("rag-escape", _escaped)
        stream.reconfigure(errors="rag-escape")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{code}" for code in codes), error.end
