"""From bytes to clean text."""

from __future__ import annotations

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_STRAY = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_GUESS_BYTES = 1 << 16
_FEW_ODD_BYTES = 0.12  # share of non-ASCII bytes: Western European text has 1 to 8 %, other alphabets far more


def decode(data: bytes, declared: str = "") -> str:
    """Decode by byte order mark, strict UTF-8, the declared charset, or a guess, in this order; always succeeds.

    UTF-8 goes before the declaration because text that is valid UTF-8 by accident hardly exists, and wrong
    declarations do. The result is `clean`. Line ends are kept, but for bare carriage returns.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _with_lines(data[len(bom) :].decode(encoding, "replace"))
    for encoding in (_wide(data), "utf-8", declared):
        if encoding and (text := _strict(data, encoding)) is not None:
            return _with_lines(text)
    return _with_lines(data.decode(_guess(data), "replace"))


def _with_lines(decoded: str) -> str:
    """Clean, with a line feed for each carriage return where these alone end lines: lines are counted by line feeds."""
    text = clean(decoded)
    return text.replace("\r", "\n") if "\r" in text and "\n" not in text else text


def clean(text: str) -> str:
    """Put a space for every NUL and stray control character, U+FFFD for lone surrogates; lengths do not change.

    >>> clean("a\\x00b\\tc")
    'a b\\tc'
    """
    if text.isascii() and text.isprintable():
        return text
    return _SURROGATE.sub("\ufffd", _STRAY.sub(" ", text))


def is_binary(head: bytes) -> bool:
    """Whether the first bytes of a file are not text: NUL bytes or many control bytes, and no UTF-16 or UTF-32.

    A few of them in what is otherwise UTF-8 are damage in a text, not a binary format.
    """
    if not head or any(head.startswith(bom) for bom, _ in _BOMS) or _wide(head):
        return False
    control = sum(head.count(byte) for byte in (*range(9), *range(14, 27), *range(28, 32)))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside a letter
    except UnicodeDecodeError:
        return control > len(head) * 0.05
    return control > len(head) * 0.1


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: mostly ASCII characters, so every second byte is NUL."""
    head = data[:4096]
    if len(head) < 8 or len(data) % 2:
        return ""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > len(head) * 0.3 and even < len(head) * 0.02:
        return "utf-16-le"
    if even > len(head) * 0.3 and odd < len(head) * 0.02:
        return "utf-16-be"
    return ""


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError, ValueError):  # LookupError: unknown, or no text encoding ("hex")
        return None


def _guess(data: bytes) -> str:
    """Windows-1252 where nearly all bytes are ASCII: statistical guesses are wrong on so little evidence."""
    from charset_normalizer import from_bytes

    sample = data[:_GUESS_BYTES]
    odd = sum(byte > 0x7F for byte in sample)
    letters = sum(chr(byte).isalpha() for byte in sample if byte > 0x9F)
    if odd <= max(8, len(sample) * _FEW_ODD_BYTES) and letters >= odd * 0.5:
        return "cp1252"
    best = from_bytes(sample).best()
    return best.encoding if best else "cp1252"
