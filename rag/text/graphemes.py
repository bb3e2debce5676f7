"""Where a text may be cut without breaking what a reader sees as one character."""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"
_HANGUL_MIDDLE_AND_FINAL = ("\u1160", "\u11ff")
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_TAGS = ("\U000e0020", "\U000e007f")
_FLAG_LETTERS = ("\U0001f1e6", "\U0001f1ff")


def is_boundary(text: str, at: int) -> bool:
    """Whether ``text[:at]`` and ``text[at:]`` are whole: no accent, emoji sequence, flag, jamo or CR LF is broken.

    An approximation of Unicode's extended grapheme clusters (UAX #29) that needs no table beyond the standard
    library's; it knows no prepended marks and no conjuncts of Indic scripts beyond their combining signs.
    """
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if before < "\u0300" and after < "\u0300":
        return not (before == "\r" and after == "\n")
    if "\u4e00" <= after <= "\u9fff":  # Chinese characters combine with nothing before them
        return before != _JOINER
    if after == _JOINER or before == _JOINER or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return False
    if _within(after, _HANGUL_MIDDLE_AND_FINAL) or _within(after, _SKIN_TONES) or _within(after, _TAGS):
        return False
    if _within(before, _FLAG_LETTERS) and _within(after, _FLAG_LETTERS):
        return _flag_letters_before(text, at) % 2 == 0
    return True


def boundary_at_or_before(text: str, at: int, *, after: int) -> int:
    """The last boundary in ``(after, at]``, or `at` itself where there is none: a cut has to be made somewhere."""
    for candidate in range(at, after, -1):
        if is_boundary(text, candidate):
            return candidate
    return at


def _within(char: str, bounds: tuple[str, str]) -> bool:
    return bounds[0] <= char <= bounds[1]


def _flag_letters_before(text: str, at: int) -> int:
    start, lowest = at, max(0, at - 64)  # an even bound keeps the pairs, and a wall of flags linear
    while start > lowest and _within(text[start - 1], _FLAG_LETTERS):
        start -= 1
    return at - start
